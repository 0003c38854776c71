"""Operators keep the catalog of reasons; it begins with those of the code."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from profiles.first_reasons import begin_with_reasons

KEPT = """
CREATE FUNCTION profiles_keep_reason() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR NEW.code IS DISTINCT FROM OLD.code THEN
        RAISE EXCEPTION 'a reason keeps its code and is never deleted'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER profiles_returnreason_is_kept
    BEFORE UPDATE OR DELETE ON profiles_returnreason
    FOR EACH ROW EXECUTE FUNCTION profiles_keep_reason();
"""
NOT_KEPT = """
DROP TRIGGER profiles_returnreason_is_kept ON profiles_returnreason;
DROP FUNCTION profiles_keep_reason();
"""


def begin(apps, schema_editor):
    """Write the first reasons down."""
    begin_with_reasons(apps.get_model("profiles", "ReturnReason"))


class Migration(migrations.Migration):
    dependencies = [
        ("profiles", "0012_reviews_before_decisions"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ReturnReason",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                (
                    "code",
                    models.CharField(max_length=40, unique=True, verbose_name="code"),
                ),
                (
                    "parts",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=4),
                        default=list,
                        size=None,
                        verbose_name="for",
                    ),
                ),
                (
                    "field_keys",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=40),
                        default=list,
                        size=None,
                        verbose_name="fields",
                    ),
                ),
                (
                    "title_en",
                    models.CharField(max_length=120, verbose_name="title in English"),
                ),
                (
                    "title_sv",
                    models.CharField(max_length=120, verbose_name="title in Swedish"),
                ),
                (
                    "text_en",
                    models.CharField(
                        max_length=300, verbose_name="what is wrong, in English"
                    ),
                ),
                (
                    "text_sv",
                    models.CharField(
                        max_length=300, verbose_name="what is wrong, in Swedish"
                    ),
                ),
                (
                    "remedy_en",
                    models.CharField(
                        max_length=300, verbose_name="what to do, in English"
                    ),
                ),
                (
                    "remedy_sv",
                    models.CharField(
                        max_length=300, verbose_name="what to do, in Swedish"
                    ),
                ),
                (
                    "example",
                    models.CharField(
                        blank=True, max_length=120, verbose_name="example"
                    ),
                ),
                (
                    "needs_note",
                    models.BooleanField(default=False, verbose_name="needs a note"),
                ),
                (
                    "retired_at",
                    models.DateTimeField(
                        blank=True, null=True, verbose_name="retired at"
                    ),
                ),
                (
                    "changed_at",
                    models.DateTimeField(
                        blank=True, null=True, verbose_name="changed at"
                    ),
                ),
                (
                    "changed_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="changed by",
                    ),
                ),
            ],
            options={
                "verbose_name": "reason for a return",
                "verbose_name_plural": "reasons for returns",
                "ordering": ("pk",),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("code__regex", "^[A-Z][A-Z0-9_]+$")),
                        name="profiles_returnreason_code_is_plain",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("parts__contained_by", ["bank", "tax"]),
                            models.Q(("parts", []), _negated=True),
                        ),
                        name="profiles_returnreason_is_for_a_part",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("title_en", ""), _negated=True),
                            models.Q(("title_sv", ""), _negated=True),
                            models.Q(("text_en", ""), _negated=True),
                            models.Q(("text_sv", ""), _negated=True),
                            models.Q(("remedy_en", ""), _negated=True),
                            models.Q(("remedy_sv", ""), _negated=True),
                        ),
                        name="profiles_returnreason_says_everything_twice",
                    ),
                ],
            },
        ),
        migrations.RunPython(begin, migrations.RunPython.noop),
        migrations.RunSQL(KEPT, NOT_KEPT),
    ]
