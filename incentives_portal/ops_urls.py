"""The operators' addresses, from each app's ops module."""

from django.urls import path

from accounts import ops as accounts_ops
from enrollment import ops as enrollment_ops
from profiles import ops as profiles_ops

app_name = "ops"
urlpatterns = [
    path("", enrollment_ops.today, name="today"),
    path("invitations/", enrollment_ops.invitations, name="invitations"),
    path("invitations/<int:pk>/send/", enrollment_ops.send_invitations, name="invite"),
    path("invitations/<uuid:pk>/anew/", enrollment_ops.invite_anew, name="invite_anew"),
    path("validation/", enrollment_ops.validation, name="validation"),
    path(
        "validation/enrollments/<uuid:pk>/",
        enrollment_ops.enrollment,
        name="enrollment",
    ),
    path(
        "validation/enrollments/<uuid:pk>/confirm/",
        enrollment_ops.confirm,
        name="confirm",
    ),
    path("validation/bank/<uuid:pk>/", profiles_ops.bank_version, name="bank_version"),
    path(
        "validation/bank/<uuid:pk>/approve/",
        profiles_ops.approve_bank,
        name="approve_bank",
    ),
    path(
        "validation/bank/<uuid:pk>/return/",
        profiles_ops.return_bank,
        name="return_bank",
    ),
    path("validation/tax/<uuid:pk>/", profiles_ops.tax_version, name="tax_version"),
    path(
        "validation/tax/<uuid:pk>/approve/",
        profiles_ops.approve_tax,
        name="approve_tax",
    ),
    path(
        "validation/tax/<uuid:pk>/return/", profiles_ops.return_tax, name="return_tax"
    ),
    path("audit/", accounts_ops.audit, name="audit"),
    path("audit/export/", accounts_ops.export_audit, name="export_audit"),
    path("mail/", accounts_ops.mail, name="mail"),
    path("mail/<uuid:pk>/resend/", accounts_ops.resend, name="resend"),
]
