"""The demo's mailbox: what the worker really sent, readable in the browser."""

from django.urls import path

from accounts import demo

app_name = "demo"
urlpatterns = [
    path("", demo.mailbox, name="mailbox"),
    path("<str:name>/", demo.message, name="message"),
    path("<str:name>/html/", demo.message_html, name="message_html"),
]
