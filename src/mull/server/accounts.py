"""Who asks, what for, and on whose account: keys, tenants, and limits by the day.

    [tenants.research]
    keys = ["sha256:5f2b…"]        # of `mull key`; the key itself is nowhere
                                   # {hash = "sha256:…", tokens = 5000}: with limits of its own
    window = "day"                 # or hour, month; limits hold in each window anew
    tokens = 2_000_000
    money = 20.0                   # US dollars
    tier = "standard"              # the best that requests may ask for

A tenant sees its own solves alone. What was spent survives the process in a file beside the
journal, written within a second; a process that is killed forgets at most that second.
"""

import asyncio
import json
import re
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from secrets import token_urlsafe
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from mull.core.codec import DecodeError, Json, decode, encode
from mull.core.errors import BadInputError
from mull.core.ledger import Bound, Ledger, Refused, Reservation
from mull.core.usage import Budget, Headroom, Limit, Usage
from mull.policies.scheduling import Tier

WINDOWS: Final = MappingProxyType({"hour": 3600, "day": 86_400, "month": 30 * 86_400})
ANYBODY: Final = ""
"""The tenant of a server that asks nobody for a key."""
_HASH: Final = re.compile(r"sha256:[0-9a-f]{64}")
_SHOWN: Final = len("sha256:") + 8
"""Characters of a key's hash in messages."""
_ORDER: Final = (Tier.BATCH, Tier.STANDARD, Tier.INTERACTIVE)


def new_key() -> tuple[str, str]:
    """A key for a client, and the hash of it for the server's file."""
    key = f"mull-{token_urlsafe(32)}"
    return key, hash_of(key)


def hash_of(key: str) -> str:
    """What a server stores of a key. It has 256 random bits, so that no salt is needed."""
    return f"sha256:{sha256(key.encode()).hexdigest()}"


@dataclass(slots=True)
class Account:
    """What one tenant, or one of its keys, has spent in this window. Owned by `Accounts`.

    A call that is claimed in one window and settled in the next counts where it was claimed.
    """

    name: str
    budget: Budget = Budget()
    window: float = WINDOWS["day"]
    """Seconds."""
    now: Callable[[], float] = time.time
    number: int = -1
    """Of the current window, since the epoch."""
    ledger: Ledger = field(default_factory=Ledger)
    parent: "Account | None" = None
    """The tenant's, of a key: it has the same windows, and what the key spends it spends."""
    _claims: dict[Reservation, Ledger] = field(default_factory=dict[Reservation, Ledger])
    _waiting: "set[asyncio.Future[None]]" = field(default_factory=set["asyncio.Future[None]"])

    def __post_init__(self) -> None:
        if self.parent is not None:  # whoever waits for one key's claims waits for all
            self._claims, self._waiting = self.parent._claims, self.parent._waiting

    def current(self) -> Ledger:
        """The ledger of this window."""
        number = int(self.now() // self.window)
        if number != self.number:
            self.number = number
            above = None if self.parent is None else self.parent.current()
            self.ledger = Ledger(self.budget, above, self.name, Bound.SOFT)
        return self.ledger

    @property
    def seconds_left(self) -> float:
        """Until the next window."""
        return self.window - self.now() % self.window

    @property
    def limits_money(self) -> bool:
        """Whether it has a limit in money, here or above."""
        above = self.parent is not None and self.parent.limits_money
        return self.budget.max_money_usd is not None or above

    @property
    def exhausted(self) -> Limit | None:
        """The limit that is spent, here or above, whatever is only claimed."""
        above = None if self.parent is None else self.parent.exhausted
        return self.budget.left_after(self.current().spent).exhausted or above

    async def claim(self, worst: Usage) -> Reservation | Refused:
        """Claim the worst case of a call in this window."""
        ledger = self.current()
        claim = await ledger.reserve(worst)
        if isinstance(claim, Reservation):
            self._claims[claim] = ledger
        return claim

    async def settle(self, reservation: Reservation, actual: Usage) -> None:
        """Replace a claim by what was spent; what is beyond it is on record and no error."""
        await self._claims.pop(reservation).settle(reservation, actual)
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    async def settled(self) -> bool:
        """Wait until another claim is settled; False, and at once, where none is open."""
        if not self._claims:
            return False
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        try:
            await waiter
        finally:
            self._waiting.discard(waiter)
        return True


@dataclass(slots=True)
class Payer:
    """A tenant's account as one solve sees it: what a solve's ledger takes as its parent.

    A call that does not fit because of what others have only claimed waits until they have spent
    it or given it back: claims are worst cases, and a refusal for their sake would be false. A
    solve that holds a claim itself never waits for others, so that no two wait for each other.
    """

    account: Account
    num_claims: int = 0

    async def reserve(self, worst: Usage) -> Reservation | Refused:
        """See `mull.core.ledger.Account`."""
        while True:
            claim = await self.account.claim(worst)
            if isinstance(claim, Reservation):
                self.num_claims += 1
                return claim
            if self.num_claims or not await self.account.settled():
                return claim

    async def settle(self, reservation: Reservation, actual: Usage) -> None:
        """See `mull.core.ledger.Account`."""
        self.num_claims -= 1
        await self.account.settle(reservation, actual)

    async def charge(self, actual: Usage) -> None:
        """See `mull.core.ledger.Account`."""
        await self.account.current().charge(actual)

    async def headroom(self) -> Headroom:
        """See `mull.core.ledger.Account`."""
        return await self.account.current().headroom()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request is from."""

    tenant: str
    account: Account
    best_tier: Tier = Tier.INTERACTIVE
    key: str = ""
    """The hash of the key that it came with, if that has limits of its own."""

    def tier(self, wanted: Tier) -> Tier:
        """The tier it gets: what it asks for, or the best it may."""
        return min(wanted, self.best_tier, key=_ORDER.index)


class KeyFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key with limits of its own, in the windows of its tenant."""

    hash: str
    tokens: int | None = None
    money: float | None = None


class TenantFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One table of the tenants' file."""

    keys: list[str | KeyFields]
    window: Literal["hour", "day", "month"] = "day"
    tokens: int | None = None
    money: float | None = None
    tier: Tier = Tier.INTERACTIVE


class TenantsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    tenants: dict[str, TenantFields]


@dataclass(slots=True)
class Accounts:
    """Every tenant of a server, found by its keys' hashes. Owned by the gateway."""

    callers: Mapping[str, Caller]
    """By the name of the tenant."""
    by_hash: Mapping[str, Caller] = field(default_factory=dict[str, Caller])
    spent_file: Path | None = None
    """None: what was spent is forgotten with the process."""

    @classmethod
    def open_to_all(cls) -> "Accounts":
        """Nobody needs a key, and nobody has a limit."""
        return cls({ANYBODY: Caller(ANYBODY, Account("the server"))})

    @classmethod
    def read(
        cls, file: Path, spent_file: Path | None = None, now: Callable[[], float] = time.time
    ) -> "Accounts":
        """The tenants of a file; `BadInputError` says what is wrong with it."""
        try:
            given = msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), TenantsFile)
        except OSError as error:
            raise BadInputError(f"cannot read `{file}`: {error.strerror}") from error
        except (ValueError, msgspec.ValidationError) as error:
            raise BadInputError(f"`{file}`: {error}") from error
        callers, by_hash = dict[str, Caller](), dict[str, Caller]()
        for name, fields in given.tenants.items():
            budget = _budget(file, name, fields)
            account = Account(f"tenant {name}", budget, WINDOWS[fields.window], now)
            callers[name] = Caller(name, account, fields.tier)
            for each in fields.keys:
                key = KeyFields(each) if isinstance(each, str) else each
                _check_hash(file, name, key.hash, by_hash)
                by_hash[key.hash] = _with_key(file, callers[name], key)
        if not by_hash:  # and not: open to all
            raise BadInputError(f"`{file}`: no tenant has a key", hint="`mull key` makes one")
        accounts = cls(callers, by_hash, spent_file)
        accounts.restore()
        return accounts

    @property
    def limits_money(self) -> bool:
        """Whether anybody has a limit in money."""
        return any(each.limits_money for each in self._accounts().values())

    @property
    def needs_keys(self) -> bool:
        """Whether a request without a key is refused."""
        return bool(self.by_hash)

    def caller_of(self, key: str | None) -> Caller | None:
        """Whose key it is; None for nobody's."""
        if not self.needs_keys:
            return self.callers[ANYBODY]
        return self.by_hash.get(hash_of(key)) if key else None

    def named(self, tenant: str, key: str = "") -> Caller:
        """The tenant, or its key; for one no longer in the file, an account without limits."""
        caller = self.callers.get(tenant) or Caller(tenant, Account(f"tenant {tenant}"))
        by_key = self.by_hash.get(key)
        return by_key if by_key is not None and by_key.tenant == tenant else caller

    def _accounts(self) -> Mapping[str, Account]:
        """Every account by what it is called on disk."""
        keys = {each.key: each.account for each in self.by_hash.values() if each.key}
        return {**{name: caller.account for name, caller in self.callers.items()}, **keys}

    # What was spent

    def store(self) -> None:
        """Write what every tenant has spent in this window; OSError if the disk refuses."""
        if self.spent_file is None or not self.needs_keys:
            return
        content = {
            name: {"window": account.number, "spent": encode(account.ledger.spent)}
            for name, account in self._accounts().items()
            if account.number >= 0
        }
        beside = self.spent_file.with_suffix(".new")
        beside.write_text(json.dumps(content), encoding="utf-8")
        beside.replace(self.spent_file)

    def restore(self) -> None:
        """Read it again, at the start; what is of an earlier window is over."""
        if self.spent_file is None or not self.spent_file.exists():
            return
        try:
            content: dict[str, dict[str, Json]] = json.loads(self.spent_file.read_text("utf-8"))
            accounts = self._accounts()
            for name, stored in content.items():
                account = accounts.get(name)
                if account is None:
                    continue
                ledger = account.current()
                if stored["window"] == account.number:
                    ledger.spent = decode(Usage, stored["spent"])
        except (ValueError, KeyError, TypeError, DecodeError) as error:
            raise BadInputError(
                f"`{self.spent_file}` does not say what tenants have spent: {error}",
                hint="delete it to begin every window anew",
            ) from error


def _with_key(file: Path, tenant: Caller, key: KeyFields) -> Caller:
    """The tenant as who comes with this key."""
    budget = _budget(file, tenant.tenant, key)
    if budget == Budget():
        return tenant
    above = tenant.account
    name = f"key {key.hash[:_SHOWN]}… of {above.name}"
    account = Account(name, budget, above.window, above.now, parent=above)
    return replace(tenant, account=account, key=key.hash)


def _budget(file: Path, name: str, fields: TenantFields | KeyFields) -> Budget:
    try:
        return Budget(fields.tokens, max_money_usd=fields.money)
    except BadInputError as error:
        raise BadInputError(f"`{file}`, tenant `{name}`: {error.message}") from error


def _check_hash(file: Path, name: str, given: str, known: Mapping[str, Caller]) -> None:
    if not _HASH.fullmatch(given):
        raise BadInputError(
            f"`{file}`, tenant `{name}`: a key is given by its hash, `sha256:` and 64 digits",
            hint="`mull key` makes a key and its hash",
        )
    if given in known:
        raise BadInputError(f"`{file}`, tenant `{name}`: its key is another tenant's too")
