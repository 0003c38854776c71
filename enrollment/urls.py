"""Incentives, invitations, the steps of an enrollment, and locations."""

from django.urls import path, re_path

from accounts.link_tokens import TOKEN
from enrollment import views

app_name = "enrollment"
urlpatterns = [
    path("incentives/", views.overview, name="overview"),
    path("incentives/overview/", views.old_overview, name="old_overview"),
    path("incentives/export/", views.export_overview, name="export_overview"),
    path("incentives/past/", views.past, name="past"),
    path("incentives/<str:pk>/", views.program, name="program"),
    path("incentives/<str:pk>/guide/", views.guide, name="guide"),
    path("incentives/<str:pk>/requirements/", views.why, name="why"),
    path("incentives/<str:pk>/requirements/dispute/", views.dispute, name="dispute"),
    path("incentives/<str:pk>/enroll/", views.start, name="start"),
    path("i/<uuid:pk>/", views.get_started, name="get_started"),
    path("i/<uuid:pk>/handover/", views.hand_over, name="hand_over"),
    path("invitations/<uuid:pk>/open/", views.open_invitation, name="open_invitation"),
    path("enroll/together/", views.begin_batch, name="begin_batch"),
    path("enroll/together/<uuid:pk>/", views.batch, name="batch"),
    path("enroll/together/<uuid:pk>/submit/", views.submit_batch, name="submit_batch"),
    path("enroll/together/<uuid:pk>/export/", views.export_batch, name="export_batch"),
    path("enroll/<uuid:pk>/", views.detail, name="detail"),
    path("enroll/<uuid:pk>/accept/", views.accept, name="accept"),
    path("enroll/<uuid:pk>/decline/", views.decline, name="decline"),
    path("enroll/<uuid:pk>/reconsider/", views.reconsider, name="reconsider"),
    path("enroll/<uuid:pk>/bank/", views.choose_bank, name="choose_bank"),
    path("enroll/<uuid:pk>/tax/", views.choose_tax, name="choose_tax"),
    path("enroll/<uuid:pk>/currency/", views.choose_currency, name="choose_currency"),
    path("enroll/<uuid:pk>/continue/", views.ask_for_details, name="continue"),
    path("enroll/<uuid:pk>/profiles/", views.profiles, name="profiles"),
    path("enroll/<uuid:pk>/prepare/", views.prepare, name="prepare"),
    path("enroll/<uuid:pk>/submit/", views.submit, name="submit"),
    path("enroll/<uuid:pk>/more-time/", views.ask_extension, name="ask_extension"),
    path("enroll/<uuid:pk>/receipt/", views.receipt, name="receipt"),
    path("enroll/<uuid:pk>/terms/", views.terms, name="terms"),
    path("enroll/<uuid:pk>/recall/", views.recall, name="recall"),
    path("profiles/bank/<uuid:pk>/replace/", views.replace_bank, name="replace_bank"),
    path("profiles/tax/<uuid:pk>/replace/", views.replace_tax, name="replace_tax"),
    path("locations/", views.locations, name="locations"),
    path("locations/add/", views.add, name="add_location"),
    path("locations/<int:pk>/", views.location, name="location"),
    path("locations/<int:pk>/close/", views.ask_closing, name="ask_closing"),
    path("locations/<int:pk>/keep/", views.keep, name="keep_location"),
    path("calendar/", views.calendar, name="calendar"),
    path("calendar/new/", views.new_calendar, name="new_calendar"),
    path("calendar/end/", views.end_calendar, name="end_calendar"),
    # What calendar programs read; the secret in it is the credential.
    re_path(
        rf"^calendar/(?P<token>{TOKEN})\.ics$",
        views.calendar_file,
        name="calendar_file",
    ),
    path("notifications/", views.notifications, name="notifications"),
    path("notifications/<uuid:pk>/", views.notification, name="notification"),
]
