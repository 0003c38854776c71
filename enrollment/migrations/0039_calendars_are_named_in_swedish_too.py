"""Fiscal calendars have a Swedish name; one that says its months in English gets it."""

from django.db import migrations, models

MONTHS = {
    "January": "januari",
    "February": "februari",
    "March": "mars",
    "April": "april",
    "May": "maj",
    "June": "juni",
    "July": "juli",
    "August": "augusti",
    "September": "september",
    "October": "oktober",
    "November": "november",
    "December": "december",
}


def name_by_their_months(apps, schema_editor):
    FiscalCalendar = apps.get_model("enrollment", "FiscalCalendar")
    for calendar in FiscalCalendar.objects.order_by("pk"):
        first, _to, last = calendar.name.partition(" to ")
        if first in MONTHS and last in MONTHS:
            calendar.name_sv = f"{MONTHS[first].capitalize()} till {MONTHS[last]}"
            calendar.save(update_fields=["name_sv"])


class Migration(migrations.Migration):
    dependencies = [("enrollment", "0038_the_queue_is_read_in_its_order")]

    operations = [
        migrations.AddField(
            model_name="fiscalcalendar",
            name="name_sv",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                max_length=80,
                verbose_name="name (Swedish)",
            ),
        ),
        migrations.AlterField(
            model_name="fiscalcalendar",
            name="name",
            field=models.CharField(max_length=80, verbose_name="name (English)"),
        ),
        migrations.RunPython(name_by_their_months, migrations.RunPython.noop),
    ]
