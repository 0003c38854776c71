"""People: who works for the company, in which role."""

from django.urls import path

from accounts import views

app_name = "accounts"
urlpatterns = [
    path("", views.people, name="people"),
    path("gaps/", views.gaps, name="gaps"),
    path("assign/", views.assign, name="assign"),
    path("assign/preview/", views.preview, name="preview"),
    path("invite/", views.invite, name="invite"),
    path("invite/preview/", views.preview_invitation, name="preview_invitation"),
    path("invitations/", views.invitations, name="invitations"),
    path(
        "invitations/<uuid:pk>/resend/",
        views.resend_invitation,
        name="resend_invitation",
    ),
    path(
        "invitations/<uuid:pk>/revoke/",
        views.revoke_invitation,
        name="revoke_invitation",
    ),
    path("<int:pk>/", views.person, name="person"),
    path("<int:pk>/deactivate/", views.deactivate, name="deactivate"),
    path("request/", views.request_access, name="request_access"),
    path("recovery/", views.recovery, name="recovery"),
    path("recovery/<uuid:pk>/stop/", views.stop_recovery, name="stop_recovery"),
    path("lost-factors/<uuid:pk>/", views.lost_factor, name="lost_factor"),
    path("lost-factors/<uuid:pk>/vouch/", views.vouch, name="vouch"),
    path("lost-factors/<uuid:pk>/decline/", views.decline_reset, name="decline_reset"),
    path("requests/", views.requests, name="requests"),
    path("requests/<uuid:pk>/grant/", views.grant_access, name="grant_access"),
    path("requests/<uuid:pk>/decline/", views.decline_access, name="decline_access"),
    path("roles/<int:pk>/revoke/", views.revoke, name="revoke"),
    path("provisioning/", views.provisioning, name="provisioning"),
    path("provisioning/tokens/", views.create_token, name="create_token"),
    path(
        "provisioning/tokens/<int:pk>/revoke/", views.revoke_token, name="revoke_token"
    ),
    path(
        "provisioning/tokens/<int:pk>/replace/",
        views.replace_token,
        name="replace_token",
    ),
    path("provisioning/groups/", views.map_group, name="map_group"),
    path("provisioning/groups/<int:pk>/end/", views.unmap_group, name="unmap_group"),
]
