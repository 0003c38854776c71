"""What a company in each country answers, from the first page to the last.

One row is one country's journey; a new country is a new row. Numbers are invented, with
check digits that are right, and typed as people type them.
"""

from dataclasses import dataclass, field

BENEFICIARY = {
    "contact_name": "Ida Lund",
    "contact_email": "ida@partner.example",
    "contact_phone": "+46 8 555 010 20",
}


@dataclass(frozen=True, kw_only=True)
class CountryAnswers:
    """The answers of one country's company; documents by their kind."""

    country: str
    company: str
    address: dict[str, str]
    bank: dict[str, str]
    # Who pays, whether registered; what decides on the form.
    setup: dict[str, str]
    form: str
    tax: dict[str, str]
    # What the form asks beside the country's own numbers.
    status: dict[str, str] = field(default_factory=dict)
    more_address: dict[str, str] = field(default_factory=dict)
    documents: tuple[str, ...] = ()

    @property
    def beneficiary(self) -> dict[str, str]:
        return self.address | BENEFICIARY

    @property
    def in_tax(self) -> dict[str, str]:
        return {"legal_name": self.company} | self.address | self.more_address


SWEDEN = CountryAnswers(
    country="SE",
    company="Nordvik IT AB",
    address={
        "street": "Storgatan 1",
        "postcode": "111 22",
        "city": "Stockholm",
    },
    bank={
        "account_holder": "Nordvik IT AB",
        "account_kind": "account",
        "clearing_number": "8327-9",
        "account_number": "741 852 963",
    },
    setup={"payer": "other", "registered": "yes"},
    form="local",
    tax={"org_number": "556036-0793", "vat": "SE556036079301", "f_tax": "yes"},
)
COUNTRIES = (
    SWEDEN,
    CountryAnswers(
        country="DE",
        company="Hanseatic Cloudworks GmbH",
        address={
            "street": "Musterstraße 4",
            "postcode": "20095",
            "city": "Hamburg",
        },
        bank={
            "account_holder": "Hanseatic Cloudworks GmbH",
            "iban": "DE05 3704 0044 0741 8529 63",
        },
        setup={"payer": "us"},
        form="w8ben_e",
        tax={
            "tax_number": "181/815/08155",
            "vat": "DE 136,695 976",
            "register_number": "Hamburg HRB 12345",
        },
        status={
            "entity_type": "corporation",
            "fatca_status": "active_nffe",
            "treaty": "yes",
        },
        documents=("form_w8ben_e",),
    ),
    CountryAnswers(
        country="GB",
        company="Brightfell Systems Limited",
        address={"street": "9 Sample Row", "postcode": "ls1 4ap", "city": "Leeds"},
        bank={
            "account_holder": "Brightfell Systems Limited",
            "sort_code": "20-00-00",
            "account_number": "7418 5296",
            "bank_name": "Specimen Bank",
        },
        setup={"payer": "other", "registered": "no"},
        form="unregistered",
        tax={"company_number": "SC741852", "utr": "1955839661"},
        documents=("registration",),
    ),
    CountryAnswers(
        country="US",
        company="Tidewater Ridge Software LLC",
        address={
            "street": "100 Sample Wharf",
            "postcode": "23510",
            "city": "Norfolk",
        },
        bank={
            "account_holder": "Tidewater Ridge Software LLC",
            "routing_number": "110000000",
            "account_number": "0007 4185 2963",
            "account_type": "checking",
            "bank_name": "Example National Bank",
        },
        setup={"owner_abroad": "no"},
        form="w9",
        tax={
            "federal_classification": "sole",
            "ein": "46-8013579",
        },
        more_address={"state": "VA"},
        documents=("form_w9",),
    ),
    CountryAnswers(
        country="JP",
        company="Hokuto Reibun KK",
        address={
            "street": "1-2-3 Mihon",
            "postcode": "530-0001",
            "city": "Osaka",
        },
        bank={
            "account_holder": "Hokuto Reibun KK",
            "bank_code": "1100",
            "branch_code": "000",
            "account_type": "ordinary",
            "account_number": "7418529",
            "account_holder_kana": "カ）ホクトレイブン",
            "bank_name": "Mihon Bank",
        },
        setup={"payer": "other", "registered": "yes"},
        form="local",
        tax={
            "corporate_number": "5-8356-7825-6246",
            "invoice_number": "T5835678256246",
        },
    ),
    CountryAnswers(
        country="BR",
        company="Ipê Azul Tecnologia Ltda",
        address={
            "street": "Rua do Exemplo 275",
            "postcode": "80010-000",
            "city": "Curitiba",
        },
        bank={
            "account_holder": "Ipê Azul Tecnologia Ltda",
            "bank_code": "999",
            "agency": "0001",
            "account_number": "0741852-9",
            "account_type": "corrente",
            "bank_name": "Banco Exemplo",
        },
        setup={"payer": "other", "registered": "yes"},
        form="local",
        tax={
            "cnpj": "11.222.333/0001-81",
            "municipal_registration": "741852963",
            "tax_regime": "presumido",
        },
    ),
)
