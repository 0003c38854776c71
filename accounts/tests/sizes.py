"""Companies of any size, stored in a few statements: for query counts and measurements."""

from itertools import islice

from django.utils import timezone

from accounts.models import (
    IncentiveProgram,
    Location,
    Membership,
    PartnerAccount,
    RoleAssignment,
    User,
)
from accounts.roles import Role

BATCH = 2000


def fill(
    company: PartnerAccount, *, people: int, locations: int, number: int
) -> list[User]:
    """Give a company people, locations and roles; `number` keeps companies apart.

    Of ten locations one has nobody, one has somebody for one program only, three have
    one Incentives admin and five have two. Every fifth person has no role, every
    hundredth reads everything, and one in twenty holds ten more roles that ended.
    Returns the people; the first of them is Global admin.
    """
    program, _is_new = IncentiveProgram.objects.get_or_create(
        code="SIZE-1", defaults={"name": "Program of all sizes"}
    )
    users = User.objects.bulk_create(
        [
            User(
                email=f"n{number}p{one}@partner.example",
                full_name=f"Person {one:05} of {number}",
                password="!",
            )
            for one in range(people)
        ],
        batch_size=BATCH,
    )
    Membership.objects.bulk_create(
        [
            Membership(user=user, partner_account=company, added_by=users[0])
            for user in users
        ],
        batch_size=BATCH,
    )
    places = Location.objects.bulk_create(
        [
            Location(
                partner_account=company,
                partner_id=f"{7_000_000 + 10_000 * number + one}",
                name=f"Branch {one:04}",
                legal_name=company.legal_name,
                country="SE",
            )
            for one in range(locations)
        ],
        batch_size=BATCH,
    )
    roles = [RoleAssignment(user=users[0], role=Role.GLOBAL_ADMIN)]
    roles += [
        RoleAssignment(user=user, role=Role.INCENTIVES_USER) for user in users[1::100]
    ]
    holders = (user for one, user in enumerate(users[1:]) if one % 5)
    for one, place in enumerate(places):
        some = list(islice(holders, _covering(one))) or users[1 : 1 + _covering(one)]
        roles += [
            RoleAssignment(
                user=user,
                role=Role.INCENTIVES_ADMIN,
                location=place,
                program=program if one % 10 == 1 else None,
            )
            for user in some
        ]
    roles += [
        RoleAssignment(
            user=user,
            role=Role.INCENTIVES_ADMIN,
            location=place,
            revoked_at=timezone.now(),
        )
        for user in users[1::20]
        for place in places[:10]
    ]
    for role in roles:
        role.partner_account, role.granted_by = company, users[0]
    RoleAssignment.objects.bulk_create(roles, batch_size=BATCH)
    return users


def _covering(place: int) -> int:
    """How many people may enroll a location of the pattern."""
    return (0, 1, 1, 1, 1, 2, 2, 2, 2, 2)[place % 10]
