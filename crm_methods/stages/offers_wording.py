"""Conditions and texts of offers.yml as engine expressions, so that a million clients get their own sentences.

Second room of stage 3. Numbers become text here as ``formats`` writes them (a test holds the two together);
a sentence that names a fact the client lacks is NULL, so it is left out rather than printed with a hole.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import narwhals as nw

from crm_methods import formats
from crm_methods.company.offers_plan import FACTS, Condition, Module, OffersPlan, Package
from crm_methods.company.wording import pieces, placeholders
from crm_methods.engine import as_float


def fits(condition: Condition) -> nw.Expr:
    """Whether a client's row meets a condition; what is not known meets none but ``unknown``."""
    parts = [
        _one_of(name, getattr(condition, name))
        for name in ("segment", "strategy", "state", "industry", "territory", "size", "product_package", "service_package")
        if getattr(condition, name)
    ]
    solutions = condition.complementary_solutions
    if solutions == "any":
        parts.append(~nw.col("complementary_solutions").is_null())
    elif solutions:
        lower = nw.col("complementary_solutions").str.to_lowercase()
        parts.append(_either([lower.str.contains(word.lower(), literal=True) for word in solutions]))
    if condition.has_open_request is not None:
        is_open = (nw.col("open_requests") > 0).fill_null(False)
        parts.append(is_open if condition.has_open_request else ~is_open)
    parts.extend(~nw.col(name).is_null() for name in condition.known)
    parts.extend(nw.col(name).is_null() for name in condition.unknown)
    parts.extend(as_float(name) >= bound for name, bound in condition.at_least.items())
    parts.extend(as_float(name) <= bound for name, bound in condition.at_most.items())
    return _all([part.fill_null(False) for part in parts])


def assigned(packages: Sequence[Package]) -> nw.Expr:
    """Name of the first package whose condition fits; the last one takes everybody else."""
    chosen: nw.Expr = nw.lit(packages[-1].name)
    for package in reversed(packages[:-1]):
        chosen = nw.when(fits(package.when)).then(nw.lit(package.name)).otherwise(chosen)
    return chosen


def module_cost(modules: Sequence[Module]) -> nw.Expr:
    """Yearly cost of the modules that fit a client's row with ``yearly_revenue``."""
    costs = [
        nw.when(_applies(module))
        .then(module.cost_per_year + module.cost_share * _not_negative("yearly_revenue"))
        .otherwise(nw.lit(0.0))
        for module in modules
        if module.cost_per_year or module.cost_share
    ]
    return reduce(lambda a, b: a + b, costs, nw.lit(0.0))


def part_titles(plan: OffersPlan) -> dict[str, str]:
    """Columns of ``with_parts`` in the order of the offer, with the title of each part."""
    titles = {"product": "Product package", "service": "Service package"}
    return {
        name: words
        for part, title in titles.items()
        for name, words in {
            f"part_{part}": title,
            **{f"part_{part}_{m.name}": m.title for m in plan.modules if m.part == part},
        }.items()
    }


def with_parts(clients: nw.LazyFrame[Any], plan: OffersPlan, currency: str) -> nw.LazyFrame[Any]:
    """Add a column for each part of the offer: the client's sentence, NULL where the part does not apply.

    Parameters
    ----------
    clients
        One row per client with every fact, ``product_package`` and ``service_package``.
    """
    packages: dict[str, Sequence[Package]] = {"product": plan.product_packages, "service": plan.service_packages}
    wordings = [*(p.wording for group in packages.values() for p in group), *(module.text for module in plan.modules)]
    names = list(dict.fromkeys(name for wording in wordings for name in placeholders(wording)))
    # One step of the engine per layer: a fact's digits are worked out once, however many texts name it.
    digits = clients.with_columns(*[_whole(name).alias(f"whole_{name}") for name in names if FACTS[name].kind != "text"])
    worded = digits.with_columns(*[fact_text(name, currency).alias(f"text_{name}") for name in names])
    return worded.with_columns(
        *[_of_package(f"{part}_package", group).alias(f"part_{part}") for part, group in packages.items()],
        *[_of_module(module).alias(f"part_{module.part}_{module.name}") for module in plan.modules],
    )


def fact_text(name: str, currency: str) -> nw.Expr:
    """One fact of a client as text, written as ``formats`` writes it; needs the column ``whole_<name>``."""
    kind = FACTS[name].kind
    if kind == "text":
        return nw.col(name)
    n = nw.col(f"whole_{name}").abs()
    symbol = formats.money(0, currency).removesuffix("0") if kind == "money" else ""
    if kind == "decimal":
        digits = [_grouped(n // 10), nw.lit("."), (n % 10).cast(nw.String)]
    else:
        digits = [_grouped_to_billions(n) if kind == "money" else _grouped(n)]
    unit = [nw.lit("%")] if kind == "share" else []
    sign = nw.when(nw.col(f"whole_{name}") < 0).then(nw.lit("−")).otherwise(nw.lit(""))
    return nw.concat_str([sign, nw.lit(symbol), *digits, *unit], separator="")


def _whole(name: str) -> nw.Expr:
    """The whole number whose digits are shown: per cent of a share, tenths of a decimal."""
    factor = {"share": 100, "decimal": 10}.get(FACTS[name].kind, 1)
    # Eager frames can't cast a gap; whether the fact is known is asked apart.
    scaled = as_float(name).fill_null(0) * factor + 0.5
    upper = scaled.floor()
    # Engines break a tie their own way; formats goes to the even neighbour.
    return nw.when((scaled == upper) & (upper % 2 == 1)).then(upper - 1).otherwise(upper).cast(nw.Int64)


def _sentence(template: str) -> nw.Expr:
    """A template with a client's facts filled in; NULL when one of them is not known."""
    return nw.concat_str(
        [nw.col(f"text_{words}") if is_fact else nw.lit(words) for is_fact, words in pieces(template)], separator=""
    )


def _of_package(column: str, packages: Sequence[Package]) -> nw.Expr:
    chosen: nw.Expr = _sentence(packages[-1].wording)
    for package in reversed(packages[:-1]):
        chosen = nw.when(nw.col(column) == package.name).then(_sentence(package.wording)).otherwise(chosen)
    return chosen


def _of_module(module: Module) -> nw.Expr:
    return nw.when(_applies(module)).then(_sentence(module.text))


def _applies(module: Module) -> nw.Expr:
    return _all([fits(module.when), *(~nw.col(name).is_null() for name in placeholders(module.text))])


def _grouped(n: nw.Expr) -> nw.Expr:
    """A whole number below a million that is not negative, with a comma between thousands."""
    thousands = nw.concat_str([(n // 1000).cast(nw.String), (n % 1000).cast(nw.String).str.zfill(3)], separator=",")
    return nw.when(n < 1000).then(n.cast(nw.String)).otherwise(thousands)


def _grouped_to_billions(n: nw.Expr) -> nw.Expr:
    middle, last = ((part % 1000).cast(nw.String).str.zfill(3) for part in (n // 1000, n))
    millions = nw.concat_str([(n // 1_000_000).cast(nw.String), middle, last], separator=",")
    return nw.when(n < 1_000_000).then(_grouped(n)).otherwise(millions)


def _not_negative(name: str) -> nw.Expr:
    return nw.max_horizontal(as_float(name), nw.lit(0.0))


def _one_of(name: str, options: Sequence[str]) -> nw.Expr:
    return nw.col(name).str.to_lowercase().is_in([option.lower() for option in options])


def _all(parts: Sequence[nw.Expr]) -> nw.Expr:
    # A bare literal is no condition on rows, hence the id that every client has.
    return reduce(lambda a, b: a & b, parts, ~nw.col("client_id").is_null())


def _either(parts: Sequence[nw.Expr]) -> nw.Expr:
    return reduce(lambda a, b: a | b, parts)
