"""Bank and tax profiles, and the default bank profiles of locations."""

from django.urls import path

from profiles import views

app_name = "profiles"
urlpatterns = [
    path("", views.bank_profiles, name="list"),
    path("tax/", views.tax_profiles, name="tax_list"),
    path("needs/", views.needs, name="needs"),
    path("bank/new/", views.new_bank, name="new_bank"),
    path("bank/<uuid:pk>/", views.bank, name="bank"),
    path("bank/<uuid:pk>/change/", views.change_bank, name="change_bank"),
    path("bank/<uuid:pk>/archive/", views.archive_bank, name="archive_bank"),
    path("bank/<uuid:pk>/number/", views.show_bank_number, name="show_bank_number"),
    path("tax/new/", views.new_tax, name="new_tax"),
    path("tax/<uuid:pk>/", views.tax, name="tax"),
    path("tax/<uuid:pk>/change/", views.change_tax, name="change_tax"),
    path("tax/<uuid:pk>/archive/", views.archive_tax, name="archive_tax"),
    path("defaults/", views.defaults, name="defaults"),
    path("defaults/<int:pk>/remove/", views.remove_default, name="remove_default"),
]
