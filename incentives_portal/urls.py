"""Mounts the apps; operators' pages under /ops."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path

from accounts.views.mail import unsubscribe
from enrollment.views import home
from incentives_portal import views

urlpatterns = [
    path("", home, name="home"),
    path("healthz", views.healthz, name="healthz"),
    path("language/", views.set_language, name="set_language"),
    path("accounts/company/", include("accounts.company_urls")),
    path("accounts/lost/", include("accounts.lost_urls")),
    path("accounts/", include("accounts.signin_urls")),
    path("account/", include("accounts.own_urls")),
    path("people/", include("accounts.urls")),
    path("activity/", include("accounts.activity_urls")),
    path("i/", include("accounts.joining_urls")),
    path("profiles/", include("profiles.urls")),
    path("u/<str:token>/", unsubscribe, name="unsubscribe"),
    path("", include("enrollment.urls")),
    path("ops/", include("incentives_portal.ops_urls")),
    path("scim/v2/", include("accounts.scim.urls")),
    path("admin/", admin.site.urls),
]

if settings.DEMO:
    urlpatterns.append(path("demo/mail/", include("accounts.demo_urls")))

handler400 = "incentives_portal.views.bad_request"
handler403 = "incentives_portal.views.forbidden"
handler404 = "incentives_portal.views.not_found"
# Asked for by django-allauth, whose limits these are.
handler429 = "incentives_portal.views.too_many"
handler500 = "incentives_portal.views.server_error"
