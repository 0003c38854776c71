"""Swedish: 21 november 2026, 14:02."""

DATETIME_FORMAT = "j F Y, H:i"
SHORT_DATETIME_FORMAT = "Y-m-d, H:i"
