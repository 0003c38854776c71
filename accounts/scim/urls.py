"""SCIM 2.0, as RFC 7644 names its addresses; without a slash at the end."""

from django.urls import path

from accounts.scim import views

app_name = "scim"
urlpatterns = [
    path("ServiceProviderConfig", views.service_provider_config, name="config"),
    path("Schemas", views.schemas, name="schemas"),
    path("Schemas/<str:key>", views.schema, name="schema"),
    path("ResourceTypes", views.resource_types, name="resource_types"),
    path("ResourceTypes/<str:key>", views.resource_type, name="resource_type"),
    path(".search", views.search, name="search"),
    path("Users", views.users, name="users"),
    path("Users/.search", views.search, name="search_users"),
    path("Users/<str:key>", views.user, name="user"),
    path("Groups", views.directory_groups, name="groups"),
    path("Groups/.search", views.search, name="search_groups"),
    path("Groups/<str:key>", views.directory_group, name="group"),
    path("<path:elsewhere>", views.elsewhere, name="elsewhere"),
]
