"""Bank and tax profiles, and the default bank profiles of locations."""

from django.urls import path, re_path

from accounts.link_tokens import TOKEN
from profiles import part_views, tax_views, views

app_name = "profiles"
urlpatterns = [
    path("", views.bank_profiles, name="list"),
    path("tax/", views.tax_profiles, name="tax_list"),
    path("needs/", views.needs, name="needs"),
    path("bank/new/", views.new_bank, name="new_bank"),
    path("bank/new/account/", views.bank_account, name="bank_account"),
    path("bank/new/beneficiary/", views.bank_beneficiary, name="bank_beneficiary"),
    path("bank/new/check/", views.check_bank, name="check_bank"),
    path("bank/new/discard/", views.discard_bank, name="discard_bank"),
    path("bank/<uuid:pk>/", views.bank, name="bank"),
    path("bank/<uuid:pk>/versions/", views.compare_bank, name="compare_bank"),
    path("bank/<uuid:pk>/change/", views.change_bank, name="change_bank"),
    path(
        "bank/<uuid:pk>/change/account/",
        views.change_bank_account,
        name="change_bank_account",
    ),
    path(
        "bank/<uuid:pk>/change/beneficiary/",
        views.change_bank_beneficiary,
        name="change_bank_beneficiary",
    ),
    path(
        "bank/<uuid:pk>/change/check/",
        views.check_bank_change,
        name="check_bank_change",
    ),
    path(
        "bank/<uuid:pk>/change/discard/",
        views.discard_bank_change,
        name="discard_bank_change",
    ),
    path("bank/<uuid:pk>/archive/", views.archive_bank, name="archive_bank"),
    path("bank/<uuid:pk>/number/", views.show_bank_number, name="show_bank_number"),
    path("bank/<uuid:pk>/stop/", views.stop_change, name="stop_change"),
    path("bank/<uuid:pk>/answer/", views.answer_bank, name="answer_bank"),
    path("bank/<uuid:pk>/withdraw/", views.withdraw_bank, name="withdraw_bank"),
    # For the previous contact, who has no account here.
    path("stop/", views.stop_by_link, name="stop_by_link"),
    re_path(rf"^stop/(?P<token>{TOKEN})/$", views.stop_link, name="stop_link"),
    path("tax/new/", tax_views.new_tax, name="new_tax"),
    path("tax/draft/<uuid:pk>/", tax_views.tax_draft, name="tax_draft"),
    path("tax/draft/<uuid:pk>/company/", tax_views.tax_company, name="tax_company"),
    path("tax/draft/<uuid:pk>/setup/", tax_views.tax_setup, name="tax_setup"),
    path("tax/draft/<uuid:pk>/status/", tax_views.tax_status, name="tax_status"),
    path(
        "tax/draft/<uuid:pk>/documents/", tax_views.tax_documents, name="tax_documents"
    ),
    path("tax/draft/<uuid:pk>/check/", tax_views.tax_check, name="tax_check"),
    path(
        "tax/draft/<uuid:pk>/discard/",
        tax_views.discard_tax_draft,
        name="discard_tax_draft",
    ),
    path("tax/document/<uuid:pk>/", tax_views.tax_document, name="tax_document"),
    path(
        "tax/document/<uuid:pk>/remove/",
        tax_views.remove_tax_document,
        name="remove_tax_document",
    ),
    path("tax/<uuid:pk>/", views.tax, name="tax"),
    path("tax/<uuid:pk>/change/", tax_views.change_tax, name="change_tax"),
    path("tax/<uuid:pk>/versions/", views.compare_tax, name="compare_tax"),
    path("tax/<uuid:pk>/answer/", views.answer_tax, name="answer_tax"),
    path("tax/<uuid:pk>/archive/", views.archive_tax, name="archive_tax"),
    # What somebody without the role fills in; an Incentives admin goes on with it.
    path("ask/<int:pk>/", part_views.ask_part, name="ask_part"),
    path("parts/<uuid:pk>/", part_views.part, name="part"),
    path("parts/<uuid:pk>/check/", part_views.check_part, name="check_part"),
    path("parts/<uuid:pk>/end/", part_views.end_part, name="end_part"),
    path("part/", part_views.part_by_link, name="part_by_link"),
    path("part/join/", part_views.part_join, name="part_join"),
    re_path(
        rf"^part/link/(?P<token>{TOKEN})/$", part_views.part_link, name="part_link"
    ),
    path("defaults/", views.defaults, name="defaults"),
    path("defaults/<int:pk>/remove/", views.remove_default, name="remove_default"),
]
