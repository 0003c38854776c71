"""The demo: invented companies, and all that happened to them."""
