"""The operators' addresses, from each app's ops module."""

from django.urls import path

from accounts import ops as accounts_ops
from accounts import recovery_ops, reset_ops, sign_in_ops
from enrollment import (
    campaign_ops,
    extension_ops,
    import_ops,
    program_ops,
    renewal_ops,
)
from enrollment import ops as enrollment_ops
from profiles import ops as profiles_ops

app_name = "ops"
urlpatterns = [
    path("", enrollment_ops.today, name="today"),
    path("invitations/", enrollment_ops.invitations, name="invitations"),
    path("invitations/<int:pk>/plan/", campaign_ops.plan, name="plan_campaign"),
    path("campaigns/", campaign_ops.campaigns, name="campaigns"),
    path("campaigns/<uuid:pk>/", campaign_ops.campaign, name="campaign"),
    path("campaigns/<uuid:pk>/change/", campaign_ops.change, name="change_campaign"),
    path("campaigns/<uuid:pk>/left-out/", campaign_ops.left_out, name="left_out"),
    path("campaigns/<uuid:pk>/preview/", campaign_ops.preview, name="preview_campaign"),
    path(
        "campaigns/<uuid:pk>/preview/mail/",
        campaign_ops.preview_html,
        name="preview_campaign_html",
    ),
    path("campaigns/<uuid:pk>/test/", campaign_ops.test, name="test_campaign"),
    path("campaigns/<uuid:pk>/send/", campaign_ops.send, name="send_campaign"),
    path("campaigns/<uuid:pk>/stop/", campaign_ops.stop, name="stop_campaign"),
    path("campaigns/<uuid:pk>/pause/", campaign_ops.pause, name="pause_campaign"),
    path("campaigns/<uuid:pk>/resume/", campaign_ops.resume, name="resume_campaign"),
    path("campaigns/<uuid:pk>/discard/", campaign_ops.discard, name="discard_campaign"),
    path("campaigns/<uuid:pk>/log/", campaign_ops.log, name="campaign_log"),
    path("campaigns/<uuid:pk>/resend/", campaign_ops.resend, name="resend_campaign"),
    path("invitations/<uuid:pk>/anew/", enrollment_ops.invite_anew, name="invite_anew"),
    path("programs/", program_ops.programs, name="programs"),
    path("programs/new/", program_ops.add_program, name="add_program"),
    path("programs/<int:pk>/", program_ops.program, name="program"),
    path(
        "programs/<int:pk>/change/", program_ops.change_program, name="change_program"
    ),
    path(
        "programs/<int:pk>/discontinue/",
        program_ops.discontinue_program,
        name="discontinue_program",
    ),
    path("programs/<int:pk>/write/", program_ops.begin_draft, name="begin_draft"),
    path("programs/<int:pk>/guides/new/", program_ops.add_guide, name="add_guide"),
    path("programs/guides/<int:pk>/", program_ops.guide, name="guide"),
    path(
        "programs/guides/<int:pk>/remove/",
        program_ops.remove_guide,
        name="remove_guide",
    ),
    path("programs/drafts/<int:pk>/", program_ops.terms_draft, name="terms_draft"),
    path("programs/drafts/<int:pk>/who/", program_ops.draft_who, name="draft_who"),
    path(
        "programs/drafts/<int:pk>/requirements/",
        program_ops.draft_requirements,
        name="draft_requirements",
    ),
    path(
        "programs/drafts/<int:pk>/earnings/",
        program_ops.draft_earnings,
        name="draft_earnings",
    ),
    path(
        "programs/drafts/<int:pk>/payment/",
        program_ops.draft_payment,
        name="draft_payment",
    ),
    path(
        "programs/drafts/<int:pk>/dates/", program_ops.draft_dates, name="draft_dates"
    ),
    path(
        "programs/drafts/<int:pk>/agreement/",
        program_ops.draft_agreement,
        name="draft_agreement",
    ),
    path(
        "programs/drafts/<int:pk>/sender/",
        program_ops.draft_sender,
        name="draft_sender",
    ),
    path(
        "programs/drafts/<int:pk>/preview/",
        program_ops.preview_draft,
        name="preview_draft",
    ),
    path(
        "programs/drafts/<int:pk>/publish/enrollments.csv",
        program_ops.stranded_enrollments,
        name="stranded_enrollments",
    ),
    path(
        "programs/drafts/<int:pk>/publish/",
        program_ops.publish_draft,
        name="publish_draft",
    ),
    path(
        "programs/drafts/<int:pk>/discard/",
        program_ops.discard_draft,
        name="discard_draft",
    ),
    path("programs/terms/<int:pk>/", program_ops.terms, name="terms"),
    path(
        "programs/versions/<int:pk>/", program_ops.terms_version, name="terms_version"
    ),
    path("programs/criteria/", program_ops.criteria, name="criteria"),
    path("programs/criteria/new/", program_ops.add_criterion, name="add_criterion"),
    path(
        "programs/criteria/<int:pk>/",
        program_ops.change_criterion,
        name="change_criterion",
    ),
    path("programs/calendars/", program_ops.calendars, name="calendars"),
    path("programs/calendars/new/", program_ops.add_calendar, name="add_calendar"),
    path(
        "programs/calendars/<int:pk>/",
        program_ops.change_calendar,
        name="change_calendar",
    ),
    path(
        "programs/calendars/<int:pk>/add-year/", program_ops.add_year, name="add_year"
    ),
    path("validation/", enrollment_ops.validation, name="validation"),
    path("validation/next/", enrollment_ops.next_row, name="next"),
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
    path("validation/second/", profiles_ops.second_approvals, name="second_approvals"),
    path(
        "validation/bank/profiles/<uuid:pk>/",
        profiles_ops.compare_bank,
        name="compare_bank",
    ),
    path(
        "validation/tax/profiles/<uuid:pk>/",
        profiles_ops.compare_tax,
        name="compare_tax",
    ),
    path("validation/stopped/", profiles_ops.stopped_changes, name="stopped_changes"),
    path(
        "validation/bank/<uuid:pk>/check/",
        profiles_ops.check_change,
        name="check_change",
    ),
    path(
        "validation/bank/<uuid:pk>/release/",
        profiles_ops.release_change,
        name="release_change",
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
    path(
        "validation/tax/document/<uuid:pk>/",
        profiles_ops.open_tax_document,
        name="open_tax_document",
    ),
    path(
        "validation/bank/<uuid:pk>/claim/",
        profiles_ops.claim_bank,
        name="claim_bank",
    ),
    path(
        "validation/bank/<uuid:pk>/leave/",
        profiles_ops.release_bank,
        name="release_bank",
    ),
    path(
        "validation/bank/<uuid:pk>/ask/",
        profiles_ops.ask_bank,
        name="ask_bank",
    ),
    path(
        "validation/bank/<uuid:pk>/escalate/",
        profiles_ops.escalate_bank,
        name="escalate_bank",
    ),
    path(
        "validation/tax/<uuid:pk>/claim/",
        profiles_ops.claim_tax,
        name="claim_tax",
    ),
    path(
        "validation/tax/<uuid:pk>/leave/",
        profiles_ops.release_tax,
        name="release_tax",
    ),
    path(
        "validation/tax/<uuid:pk>/ask/",
        profiles_ops.ask_tax,
        name="ask_tax",
    ),
    path(
        "validation/tax/<uuid:pk>/escalate/",
        profiles_ops.escalate_tax,
        name="escalate_tax",
    ),
    path("validation/escalated/", profiles_ops.escalations, name="escalations"),
    path(
        "validation/escalated/<uuid:pk>/answer/",
        profiles_ops.answer_escalation,
        name="answer_escalation",
    ),
    path(
        "validation/enrollments/<uuid:pk>/claim/",
        enrollment_ops.claim,
        name="claim",
    ),
    path(
        "validation/enrollments/<uuid:pk>/leave/",
        enrollment_ops.release,
        name="release",
    ),
    path("reasons/", profiles_ops.reasons, name="reasons"),
    path("reasons/new/", profiles_ops.add_reason, name="add_reason"),
    path("reasons/<int:pk>/", profiles_ops.change_reason, name="change_reason"),
    path("reasons/<int:pk>/retire/", profiles_ops.retire_reason, name="retire_reason"),
    path("reasons/<int:pk>/revive/", profiles_ops.revive_reason, name="revive_reason"),
    path("audit/", accounts_ops.audit, name="audit"),
    path("audit/export/", accounts_ops.export_audit, name="export_audit"),
    path("locations/", enrollment_ops.locations, name="locations"),
    path(
        "locations/<int:pk>/close/",
        enrollment_ops.close_location,
        name="close_location",
    ),
    path(
        "locations/<int:pk>/keep/",
        enrollment_ops.decline_closing,
        name="decline_closing",
    ),
    path("recovery/", recovery_ops.recoveries, name="recoveries"),
    path("recovery/factors/<uuid:pk>/", reset_ops.lost_factor, name="lost_factor"),
    path("recovery/factors/<uuid:pk>/vouch/", reset_ops.vouch, name="vouch"),
    path(
        "recovery/factors/<uuid:pk>/reset/",
        reset_ops.reset_factors,
        name="reset_factors",
    ),
    path(
        "recovery/factors/<uuid:pk>/decline/", reset_ops.decline, name="decline_reset"
    ),
    path("recovery/<uuid:pk>/", recovery_ops.recovery, name="recovery"),
    path("recovery/<uuid:pk>/check/", recovery_ops.review, name="review_recovery"),
    path("recovery/<uuid:pk>/appoint/", recovery_ops.appoint, name="appoint"),
    path("recovery/<uuid:pk>/decline/", recovery_ops.decline, name="decline_recovery"),
    path("eligibility/", import_ops.imports, name="imports"),
    path("eligibility/new/", import_ops.upload, name="upload_import"),
    path("eligibility/template/", import_ops.template, name="import_template"),
    path("invitations/more-time/", extension_ops.extensions, name="extensions"),
    path(
        "invitations/more-time/<uuid:pk>/answer/",
        extension_ops.answer_extension,
        name="answer_extension",
    ),
    path("eligibility/disputes/", import_ops.disputes, name="disputes"),
    path(
        "eligibility/disputes/<uuid:pk>/answer/",
        import_ops.answer_dispute,
        name="answer_dispute",
    ),
    path("eligibility/<int:pk>/", import_ops.value_import, name="value_import"),
    path("eligibility/<int:pk>/columns/", import_ops.columns, name="import_columns"),
    path("eligibility/<int:pk>/apply/", import_ops.apply, name="apply_import"),
    path("eligibility/<int:pk>/release/", import_ops.release, name="release_import"),
    path("eligibility/<int:pk>/cancel/", import_ops.cancel, name="cancel_import"),
    path("eligibility/<int:pk>/retry/", import_ops.retry, name="retry_import"),
    path("eligibility/<int:pk>/undo/", import_ops.undo, name="undo_import"),
    path("eligibility/<int:pk>/rejected/", import_ops.problems, name="import_problems"),
    path("eligibility/<int:pk>/effects/", import_ops.effects, name="import_effects"),
    path("eligibility/<int:pk>/values/", import_ops.values, name="import_values"),
    path("renewals/", renewal_ops.renewals, name="renewals"),
    path(
        "renewals/years/<int:pk>/rehearse/",
        renewal_ops.rehearse,
        name="rehearse_renewals",
    ),
    path("renewals/<uuid:pk>/", renewal_ops.renewal, name="renewal"),
    path("renewals/<uuid:pk>/rows/", renewal_ops.rows, name="renewal_rows"),
    path("renewals/<uuid:pk>/export/", renewal_ops.export, name="export_renewal"),
    path("renewals/<uuid:pk>/propose/", renewal_ops.propose, name="propose_renewal"),
    path("renewals/<uuid:pk>/approve/", renewal_ops.approve, name="approve_renewal"),
    path("renewals/<uuid:pk>/withdraw/", renewal_ops.withdraw, name="withdraw_renewal"),
    path("renewals/<uuid:pk>/pause/", renewal_ops.pause, name="pause_renewal"),
    path("renewals/<uuid:pk>/resume/", renewal_ops.resume, name="resume_renewal"),
    path(
        "renewals/<uuid:pk>/undo/", renewal_ops.ask_to_undo, name="ask_to_undo_renewal"
    ),
    path(
        "renewals/<uuid:pk>/undo/drop/",
        renewal_ops.drop_undoing,
        name="drop_undoing_renewal",
    ),
    path(
        "renewals/<uuid:pk>/undo/approve/",
        renewal_ops.approve_undoing,
        name="approve_undoing_renewal",
    ),
    path("renewals/<uuid:pk>/set-aside/", renewal_ops.set_aside, name="set_aside"),
    path(
        "renewals/<uuid:pk>/set-aside/decide/",
        renewal_ops.decide,
        name="decide_set_aside",
    ),
    path("renewals/<uuid:pk>/report/", renewal_ops.report, name="renewal_report"),
    path("mail/", accounts_ops.mail, name="mail"),
    path("mail/addresses/<int:pk>/try/", accounts_ops.try_address, name="try_address"),
    path("mail/<uuid:pk>/resend/", accounts_ops.resend, name="resend"),
    path("sign-ins/", sign_in_ops.sign_ins, name="sign_ins"),
    path("sign-ins/new/", sign_in_ops.register, name="register_sign_in"),
    path("sign-ins/<uuid:pk>/", sign_in_ops.sign_in, name="sign_in"),
    path("sign-ins/<uuid:pk>/change/", sign_in_ops.change, name="change_sign_in"),
    path("sign-ins/<uuid:pk>/stop/", sign_in_ops.stop, name="stop_sign_in"),
    path("sign-ins/<uuid:pk>/start/", sign_in_ops.start, name="start_sign_in"),
    path("sign-ins/<uuid:pk>/roles/", sign_in_ops.map_app_role, name="map_app_role"),
    path(
        "sign-ins/roles/<int:pk>/approve/",
        sign_in_ops.approve_app_role,
        name="approve_app_role",
    ),
    path(
        "sign-ins/roles/<int:pk>/remove/",
        sign_in_ops.unmap_app_role,
        name="unmap_app_role",
    ),
]
