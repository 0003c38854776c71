"""How companies and operators begin: the services, and the commands that call them."""

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.urls import reverse

from accounts.models import AuditEvent, Location, OutgoingEmail, PartnerAccount, User
from accounts.roles import Role
from accounts.services import add_operator, end_operator, set_up_company

pytestmark = pytest.mark.django_db


def printed(capsys) -> str:
    return capsys.readouterr().out.strip()


# --- add_operator --------------------------------------------------------------------


def test_an_operator_belongs_to_no_company_and_has_no_password():
    operator = add_operator(
        email=" Oscar@Owner.example", full_name="Oscar Sand", groups=["Validator"]
    )

    assert operator.email == "oscar@owner.example"
    assert operator.is_staff
    assert not operator.is_superuser
    assert not operator.has_usable_password()
    assert not operator.memberships.exists()
    assert operator.has_perm("profiles.validate_profiles")
    assert AuditEvent.objects.get().action == "person_added"


def test_an_operator_is_mailed_where_to_choose_a_password(settings):
    settings.PUBLIC_BASE_URL = "https://portal.example"

    operator = add_operator(
        email="oscar@owner.example",
        full_name="Oscar Sand",
        groups=["Reader"],
        language="sv",
    )

    mail = OutgoingEmail.objects.get()
    assert (mail.to_user, mail.language) == (operator, "sv")
    assert f"https://portal.example{reverse('account_reset_password')}" in (
        mail.body_text
    )
    # And to another language.
    assert mail.body_text.count("https://") == 2


def test_the_page_of_that_mail_gives_a_new_operator_a_link(client):
    operator = add_operator(
        email="oscar@owner.example", full_name="Oscar Sand", groups=["Reader"]
    )

    client.post(reverse("account_reset_password"), {"email": operator.email})

    names = OutgoingEmail.objects.addressed_to(operator).values_list("name", flat=True)
    assert set(names) == {"operator_added", "password_reset"}


def test_adding_an_operator_again_changes_nothing():
    first = add_operator(
        email="oscar@owner.example", full_name="Oscar Sand", groups=["Reader"]
    )

    again = add_operator(
        email="oscar@owner.example", full_name="Somebody Else", groups=["Reader"]
    )

    assert again == first
    assert User.objects.get(pk=first.pk).full_name == "Oscar Sand"
    assert OutgoingEmail.objects.count() == 1
    assert AuditEvent.objects.count() == 1


def test_adding_an_operator_again_gives_the_groups_that_were_missing():
    operator = add_operator(
        email="oscar@owner.example", full_name="Oscar Sand", groups=["Reader"]
    )

    add_operator(
        email="oscar@owner.example", full_name="Oscar Sand", groups=["Validator"]
    )

    event = AuditEvent.objects.first()
    assert operator.groups.count() == 2
    assert event.before == {"person": operator.pk, "groups": ["Reader"]}
    assert event.after["groups"] == ["Reader", "Validator"]


def test_a_partners_address_cannot_be_an_operators(ida):
    with pytest.raises(ValidationError, match="a person of a partner company"):
        add_operator(email=ida.email, full_name="Ida Lund", groups=["Reader"])

    assert not User.objects.get(pk=ida.pk).is_staff


def test_an_operator_whose_access_was_ended_is_not_added_again(oscar):
    oscar.is_active = False
    oscar.save(update_fields=["is_active"])

    with pytest.raises(ValidationError, match="was ended"):
        add_operator(email=oscar.email, full_name="Oscar Sand", groups=["Reader"])


def test_an_operator_of_the_demo_is_told_nothing():
    add_operator(email="o@owner.example", full_name="O Sand", is_told=False)

    assert not OutgoingEmail.objects.exists()


def test_the_command_adds_an_operator_and_prints_no_secret(capsys):
    call_command(
        "add_operator",
        "oscar@owner.example",
        "--name=Oscar Sand",
        "--group=Reader",
        "--group=Validator",
    )

    assert printed(capsys) == (
        "Oscar Sand (oscar@owner.example) is an operator: Reader, Validator."
    )
    assert User.objects.get().groups.count() == 2


def test_the_command_adds_the_first_superuser(capsys):
    call_command("add_operator", "o@owner.example", "--name=O Sand", "--superuser")

    assert printed(capsys) == "O Sand (o@owner.example) is an operator: Superuser."
    assert User.objects.get().is_superuser


@pytest.mark.parametrize(
    ("email", "options", "refusal"),
    [
        (
            "oscar@owner.example",
            ["--group=Boss"],
            (
                "There is no group Boss. The groups are: Reader, Program manager, "
                "Validator, Approver, Identity manager."
            ),
        ),
        (
            "oscar@owner.example",
            [],
            (
                "Give at least one group: Reader, Program manager, Validator, "
                "Approver, Identity manager."
            ),
        ),
        (
            "oscar",
            ["--group=Reader"],
            "Enter a whole e-mail address, like name@company.com",
        ),
        (
            "ida@partner.example",
            ["--group=Reader"],
            (
                "This address belongs to a person of a partner company. An operator "
                "needs an address of their own."
            ),
        ),
    ],
)
def test_the_command_refuses_with_one_sentence(ida, email, options, refusal):
    people = User.objects.count()

    with pytest.raises(CommandError) as error:
        call_command("add_operator", email, "--name=Oscar Sand", *options)

    assert str(error.value) == refusal
    assert User.objects.count() == people


# --- end_operator --------------------------------------------------------------------


def test_an_operator_whose_access_ends_is_out_at_once(oscar, client_of, capsys):
    client = client_of(oscar)
    assert client.get("/ops/").status_code == 200

    call_command("end_operator", oscar.email)

    oscar.refresh_from_db()
    assert client.get("/ops/").status_code == 302
    assert not oscar.is_active
    assert not oscar.groups.exists()
    assert (
        printed(capsys) == "The access of Oscar Sand (oscar@owner.example) has ended."
    )
    event = AuditEvent.objects.get()
    assert (event.action, event.person) == ("person_left", oscar)
    assert event.before["groups"] == ["Reader", "Validator"]


def test_an_ended_superuser_is_none_any_more():
    root = add_operator(
        email="root@owner.example", full_name="R", is_superuser=True, is_told=False
    )

    ended = end_operator(email=root.email)

    assert not ended.is_superuser
    assert not User.objects.get(pk=root.pk).has_perm("accounts.close_location")


def test_one_group_of_an_operator_ends(oscar, client_of, capsys):
    client = client_of(oscar)

    call_command("end_operator", oscar.email, groups=["Validator"])

    assert client.get("/ops/").status_code == 200
    assert not User.objects.get(pk=oscar.pk).has_perm("profiles.validate_profiles")
    assert printed(capsys).endswith("is an operator: Reader.")
    assert AuditEvent.objects.filter(action="person_changed").count() == 1


def test_ending_an_operator_again_changes_nothing(oscar):
    for groups in ([], [], ["Reader"]):
        end_operator(email=oscar.email, groups=groups)

    assert AuditEvent.objects.count() == 1


@pytest.mark.parametrize("address", ["ida@partner.example", "nobody@owner.example"])
def test_only_operators_are_ended(ida, address):
    with pytest.raises(CommandError, match="is no operator's address"):
        call_command("end_operator", address)

    ida.refresh_from_db()
    assert ida.is_active


# --- set_up_company ------------------------------------------------------------------


def facts(**changes):
    """What sets the company of the cast up."""
    return {
        "partner_id": "5012001",
        "name": "Nordvik IT AB",
        "country": "SE",
        "email_domains": ["Partner.example"],
        "admin_email": "greta@partner.example",
        "admin_name": "Greta Voss",
        "locations": [
            {"partner_id": "6120102", "name": "Göteborg", "country": "SE"},
            {
                "partner_id": "6120103",
                "name": "Malmö",
                "country": "SE",
                "city": "Malmö",
            },
        ],
        "by": None,
    } | changes


def test_a_company_begins_with_its_locations_and_first_global_admin():
    done = set_up_company(**facts())

    account = PartnerAccount.objects.get()
    role = account.role_assignments.get()
    assert done == (
        type(done)(account=account, is_new=True, locations=2, new_admin=role.user)
    )
    assert account.email_domains == ["partner.example"]
    assert account.legal_name == "Nordvik IT AB"
    assert (role.role, role.user.email) == (Role.GLOBAL_ADMIN, "greta@partner.example")
    assert not role.user.has_usable_password()
    assert {place.name for place in account.locations.all()} == {"Göteborg", "Malmö"}
    assert set(AuditEvent.objects.values_list("action", flat=True)) == {
        "company_added",
        "location_added",
        "person_added",
        "role_assigned",
    }


def test_its_global_admin_is_mailed_where_to_choose_a_password(settings):
    settings.PUBLIC_BASE_URL = "https://portal.example"

    done = set_up_company(**facts())

    mail = OutgoingEmail.objects.get()
    assert mail.to_user == done.new_admin
    assert "Nordvik IT AB" in mail.subject
    assert reverse("account_reset_password") in mail.body_text


def test_a_global_admin_who_has_a_password_is_led_to_the_locations(lars, nordvik):
    set_up_company(**facts(admin_email=lars.email, locations=[]))

    mail = OutgoingEmail.objects.get()
    assert mail.to_user == lars
    assert f"/c/5012001{reverse('accounts:gaps')}" in mail.body_text


def test_setting_a_company_up_again_adds_what_is_missing():
    set_up_company(**facts(locations=facts()["locations"][:1]))

    done = set_up_company(**facts())

    assert (done.is_new, done.locations, done.new_admin) == (False, 1, None)
    assert Location.objects.count() == 2
    assert OutgoingEmail.objects.count() == 1


def test_a_second_global_admin_is_appointed_by_the_first(greta):
    with pytest.raises(ValidationError, match="others under People: Greta Voss"):
        set_up_company(**facts(admin_email="other@partner.example", locations=[]))

    assert not User.objects.filter(email="other@partner.example").exists()


def test_a_wrong_partner_id_does_not_make_somebody_admin_of_another_company(greta):
    with pytest.raises(ValidationError, match="5012001 is the PartnerID of Nordvik"):
        set_up_company(**facts(name="Brightfell Systems Ltd"))


def test_one_bad_location_leaves_nothing_behind():
    rows = facts()["locations"] + [
        {"partner_id": "61", "name": "Lund", "country": "SE"}
    ]

    with pytest.raises(ValidationError, match="Location 61: A PartnerID has 5 to 10"):
        set_up_company(**facts(locations=rows))

    assert not PartnerAccount.objects.exists()
    assert not User.objects.exists()
    assert not OutgoingEmail.objects.exists()


def test_a_location_of_another_company_is_refused(sam):
    taken = Location.objects.create(
        partner_account=PartnerAccount.objects.get(),
        partner_id="6120102",
        name="Hamburg",
        legal_name="Hanseatic Cloudworks GmbH",
        country="DE",
    )

    with pytest.raises(ValidationError, match="Location 6120102: This PartnerID is"):
        set_up_company(**facts())

    taken.refresh_from_db()
    assert taken.name == "Hamburg"


# --- add_company ---------------------------------------------------------------------

COMMAND = (
    "add_company",
    "5012001",
    "--name=Nordvik IT AB",
    "--country=se",
    "--domain=partner.example",
    "--admin=greta@partner.example",
    "--admin-name=Greta Voss",
)


@pytest.fixture
def file(tmp_path):
    def write(*lines: str) -> str:
        path = tmp_path / "locations.csv"
        path.write_text("\n".join(lines), encoding="utf-8-sig")
        return f"--locations={path}"

    return write


def test_the_command_reads_the_locations_from_a_file(file, capsys):
    call_command(
        *COMMAND,
        file(
            "partner_id,name,country,city", "6120102,Göteborg,se,", "6120103,Malmö,SE,M"
        ),
    )

    assert printed(capsys) == (
        "Nordvik IT AB (5012001) is added. 2 locations were added. Greta Voss is its "
        "Global admin and is told by mail."
    )
    assert Location.objects.get(partner_id="6120102").country == "SE"


def test_the_command_again_adds_nothing_and_says_so(capsys):
    call_command(*COMMAND)
    printed(capsys)

    call_command(*COMMAND)

    assert printed(capsys) == (
        "Nordvik IT AB (5012001) was there already. 0 locations were added."
    )


@pytest.mark.parametrize(
    ("lines", "refusal"),
    [
        (
            ["name,country"],
            "The first line must name the columns; missing: partner_id.",
        ),
        (
            ["partner_id,name,country", "6120102,Göteborg"],
            "Line 2 must give partner_id, name and country, one cell each.",
        ),
        (
            ["partner_id,name,country", "6120102,Göteborg,SE,more"],
            "Line 2 must give partner_id, name and country, one cell each.",
        ),
        (
            ["partner_id,name,country", '6120102,"Göteborg'],
            "is not a CSV file in UTF-8",
        ),
    ],
)
def test_the_command_refuses_a_file_that_is_wrong(file, lines, refusal):
    with pytest.raises(CommandError, match=refusal):
        call_command(*COMMAND, file(*lines))

    assert not PartnerAccount.objects.exists()


def test_the_command_refuses_a_file_that_is_not_there():
    with pytest.raises(CommandError, match="cannot be read: No such file"):
        call_command(*COMMAND, "--locations=/none.csv")


def test_the_command_refuses_what_the_service_refuses():
    with pytest.raises(CommandError, match="Use the two capital letters"):
        call_command(*COMMAND[:3], "--country=Sweden", *COMMAND[4:])
