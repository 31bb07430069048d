"""The machine: compiles contracts from what the state holds, and runs one call at a time, the same everywhere.

Loaded modules belong to a thread (contract calls also come from threads that answer views and admissions)
and are kept by the source's hash, so that an upgrade is picked up by the block that sees it.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

from contracts.codes import SENTENCES, ReplicaFault, Trap, TrapCode
from contracts.compiler import PLACE, Compiled, Compiler
from contracts.guards import LIMIT, Meter, make_guards
from contracts.guards.meter import DEPTH_MAX
from contracts.host import CALL_DEPTH_MAX, Host, Session
from contracts.language import MIGRATE, PYTHON_TYPES, Checked, ContractInvalid, Function
from contracts.reading import is_flat
from contracts.session import ARGUMENT_GAS, NODE_GAS
from ledger.execution import ENGINE_VERSION, OK, Call, CallResult, EntryPoint
from ledger.state import Entry, StateReader, TransactionView, Version
from ledger.upgrades import CONTRACT_PREFIX
from ledger.values import Value, ValueInvalid, decode_value, encode_plain, encode_value

MODULES_CACHED_MAX = 64
GUARDED = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError)

log = logging.getLogger("wattq.contracts")

MARKERS = {"transaction": "export", "deadline": "deadline", "view": "view"}
"""What a function is marked as, by the kind of a call from outside."""


@dataclass(frozen=True, slots=True)
class Module:
    """A compiled contract: its functions as Python callables, and what was checked of them."""

    name: str
    sha256: str
    checked: Checked
    functions: dict[str, Callable[..., Any]]


def load(
    name: str, compiled: Compiled, guards: dict[str, Callable[..., Any]], host: dict[str, Callable[..., Any]]
) -> Module:
    """The functions of a compiled contract, bound to what they may call."""
    checked = compiled.checked
    space: dict[str, Any] = {"__builtins__": {}, **guards, **host, **checked.constants}
    exec(compiled.code, space)
    return Module(name, compiled.sha256, checked, {function: space[function] for function in checked.functions})


Seen: TypeAlias = "tuple[Entry, Module, str, Version]"
"""A contract as it was last seen: the state's entry, its code, and the read that it is."""


class _Engine:
    """One thread's meter, guards, host and compiled modules."""

    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler
        self.meter = Meter()
        self._guards = make_guards(self.meter)
        self.host = Host(self.meter, self._cross_call)
        self._modules: OrderedDict[tuple[str, str], Module] = OrderedDict()
        self._seen: dict[str, Seen] = {}

    def module(self, reader: StateReader, name: str) -> Module | None:
        """The contract that ``reader`` shows under ``name``, compiled; None if there is none."""
        seen = self._seen.get(name)
        entry = reader.get(CONTRACT_PREFIX + name if seen is None else seen[2]) if name.isascii() else None
        if entry is None:
            return None
        if seen is not None and (seen[0] is entry or seen[0] == entry):
            return seen[1]
        compiled = self._compiler.compiled(name, decode_value(entry.value)["source"])
        module = self._loaded(name, compiled)
        self._seen[name] = (entry, module, CONTRACT_PREFIX + name, (entry.height, entry.index))
        return module

    def _loaded(self, name: str, compiled: Compiled) -> Module:
        key = (name, compiled.sha256)
        module = self._modules.get(key)
        if module is None:
            module = self._modules[key] = load(name, compiled, self._guards, self.host.functions_for(name))
            while len(self._modules) > MODULES_CACHED_MAX:
                self._modules.popitem(last=False)
        return module

    def run(self, call: Call, view: TransactionView) -> CallResult:
        self.meter.gas[0] = call.gas_limit
        self.meter.depth[0] = 0
        session = Session(call, view, [call.contract], call.signers[0] if call.signers else "", [], {}, view.get)
        self.host.begin(session)
        try:
            returned = self._run(call, session)
            data = self.host.encoded(returned)
            value = returned if returned is None or type(returned) is str else decode_value(data)
            code, message = OK, ""
        except Trap as trap:
            value, code, message = None, str(trap.code), trap.message
        except (ValueInvalid, UnicodeEncodeError):
            value, code, message = None, str(TrapCode.VALUE_INVALID), SENTENCES[TrapCode.VALUE_INVALID]
        except ContractInvalid:
            value, code, message = None, str(TrapCode.CONTRACT_INVALID), SENTENCES[TrapCode.CONTRACT_INVALID]
        except UnboundLocalError:
            value, code, message = None, str(TrapCode.NAME_UNBOUND), SENTENCES[TrapCode.NAME_UNBOUND]
        except (RecursionError, MemoryError) as error:
            raise ReplicaFault(type(error).__name__) from None
        except GUARDED as error:
            trapped = _trap_of(error)
            if trapped is TrapCode.INTERNAL:
                # A hole in the guards, the same on every replica: the call fails, the chain goes on, we hear of it.
                log.exception("%s.%s got past the guards", call.contract, call.function)
            value, code, message = None, str(trapped), SENTENCES[trapped]
        finally:
            self.host.end()
            self.meter.let_go()
        used = min(call.gas_limit, call.gas_limit - self.meter.gas[0])
        events = tuple(session.events) if code == OK else ()
        return CallResult(
            code, message, value, used, events, session.code_hash, ENGINE_VERSION, view.reads, view.ranges, view.writes
        )

    def _read(self, session: Session, name: str) -> Module | None:
        """A contract's code, which is a read like any other: whose version is wrong, has run another contract."""
        view = session.view
        module = self.module(view.base, name)
        if module is not None:
            _, _, key, version = self._seen[name]
            view.reads[key] = version
        elif name.isascii():
            view.reads[CONTRACT_PREFIX + name] = None
        return module

    def _run(self, call: Call, session: Session) -> Value:
        module = self._read(session, call.contract)
        if module is None:
            raise Trap(TrapCode.CONTRACT_UNKNOWN)
        session.code_hash = module.sha256
        function = module.checked.functions.get(call.function)
        if call.kind == "migrate":
            # A version without a migration takes over as it is.
            return None if function is None else module.functions[MIGRATE]()
        if function is None:
            raise Trap(TrapCode.FUNCTION_UNKNOWN)
        if function.marker != MARKERS[call.kind]:
            raise Trap(TrapCode.NOT_CALLABLE)
        session.read_only = 1 if call.kind == "view" else 0
        return module.functions[call.function](*bind(function, arguments(function, call.args, self.meter)))

    def _cross_call(self, session: Session, contract: str, name: str, args: list[Value]) -> Value:
        if contract in session.stack:
            raise Trap(TrapCode.REENTRY)
        if len(session.stack) >= CALL_DEPTH_MAX:
            raise Trap(TrapCode.TOO_DEEP)
        module = session.modules.get(contract)
        if module is None:
            module = session.modules[contract] = self._read(session, contract)
        if module is None:
            raise Trap(TrapCode.CONTRACT_UNKNOWN)
        function = module.checked.functions.get(name)
        if function is None:
            raise Trap(TrapCode.FUNCTION_UNKNOWN)
        is_view = function.marker == "view"
        if not is_view and (function.marker != "internal" or session.stack[-1] not in function.names):
            raise Trap(TrapCode.NOT_CALLABLE)
        bound = bind(function, args)
        session.stack.append(contract)
        session.read_only += is_view
        depth = self.meter.depth
        before, depth[0] = depth[0], 0
        value = module.functions[name](*bound)
        depth[0] = before
        session.read_only -= is_view
        session.stack.pop()
        return value


def arguments(function: Function, args: dict[str, Value] | list[Value], meter: Meter) -> list[Value]:
    """Arguments from outside in the parameters' order: copies, integers within the language's range.

    ``ValueInvalid`` or ``UnicodeEncodeError`` for what is no value. What is flat need not be made anew; each node of
    what is not is charged for before it is copied.
    """
    if type(args) not in (dict, list):
        raise ValueInvalid("arguments are a list or a dictionary")
    listed = args if isinstance(args, list) else _by_name(function, args)
    if is_flat(listed):
        with suppress(OverflowError):  # an integer beyond 64 bits
            encode_plain(listed)
            return listed
    try:
        meter.charge(NODE_GAS * meter.weigh(listed, DEPTH_MAX, ARGUMENT_GAS))
    except TypeError:
        raise ValueInvalid("keys are text") from None
    copied: list[Value] = decode_value(encode_value(listed))
    for value in copied:
        if type(value) is int and not -LIMIT < value < LIMIT:
            raise Trap(TrapCode.INTEGER_TOO_LARGE)
    return copied


def _by_name(function: Function, args: dict[str, Value]) -> list[Value]:
    try:
        if len(args) == len(function.parameters):
            return [*map(args.__getitem__, function.parameters)]
    except KeyError:
        pass
    wanted = ", ".join(function.parameters) or "no arguments"
    raise Trap(TrapCode.ARGUMENTS_INVALID, f"{function.name} takes exactly: {wanted}.")


def _trap_of(error: Exception) -> TrapCode:
    """What it is that a contract's own code raised where it names the key: there is none, or it reached into what is no
    dictionary. Whatever a guard raises is a hole in it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is not None and trace.tb_frame.f_code.co_filename.startswith(PLACE):
        if isinstance(error, KeyError):
            return TrapCode.KEY_MISSING
        if isinstance(error, TypeError):
            return TrapCode.TYPE_MISMATCH
    return TrapCode.INTERNAL


def bind(function: Function, args: list[Value]) -> list[Value]:
    """Arguments, as many as there are parameters, of the annotated types; traps with ARGUMENTS_INVALID otherwise."""
    if len(args) != len(function.parameters):
        raise Trap(TrapCode.ARGUMENTS_INVALID)
    if (*map(type, args),) != function.python_types:
        for name, kind, value in zip(function.parameters, function.types, args, strict=True):
            if kind and type(value) is not PYTHON_TYPES[kind]:
                raise Trap(TrapCode.ARGUMENTS_INVALID, f"{name} is not of type {kind}.")
    return args


class PythonMachine:
    """Implements ``ledger.execution.Machine``. Thread-safe: each thread has an engine of its own."""

    def __init__(self, compiler: Compiler | None = None) -> None:
        self._local = threading.local()
        self._compiler = compiler or Compiler()

    def _engine(self) -> _Engine:
        engine: _Engine | None = getattr(self._local, "engine", None)
        if engine is None:
            engine = self._local.engine = _Engine(self._compiler)
        return engine

    def knows(self, reader: StateReader, contract: str) -> bool:
        return self._engine().module(reader, contract) is not None

    def entry(self, reader: StateReader, contract: str, function: str) -> EntryPoint | None:
        """What ``contract.function`` is, or None; private helpers do not exist outside."""
        module = self._engine().module(reader, contract)
        found = module.checked.functions.get(function) if module is not None else None
        if found is None or not found.marker:
            return None
        return EntryPoint(contract, function, found.marker, found.names, found.parameters)  # type: ignore[arg-type]

    def run(self, call: Call, view: TransactionView) -> CallResult:
        """Run one call; raises ``ReplicaFault`` only when this machine, not the contract, is at its end."""
        return self._engine().run(call, view)


__all__ = ["ContractInvalid", "PythonMachine", "load"]
