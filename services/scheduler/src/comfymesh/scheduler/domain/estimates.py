"""How long loads and runs will take, learned from how long they took."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass

from comfymesh.tasks.record import Work

TRUST = 8.0
"""Runs of a narrow class that weigh as much as the wider class around it."""
MEMORY = 200.0
"""Runs after which what a class remembers is halved: fleets and models change."""
FIRST_RUN = 30.0
"""Seconds that a run is taken for before any was seen."""
FIRST_LOAD = 10.0
"""Seconds that a load is taken for before any was seen."""
_MOST_CLASSES = 200_000
_MOST_GPU_CLASSES = 1_000
"""Their names are whatever nodes say."""


@dataclass(slots=True)
class _Mean:
    total: float = 0.0
    count: float = 0.0

    def learn(self, value: float) -> None:
        self.total += value
        self.count += 1.0
        if self.count > MEMORY:
            self.total /= 2
            self.count /= 2

    def towards(self, prior: float, trust: float) -> float:
        """The mean, drawn towards `prior` as long as few values are known."""
        return (self.total + trust * prior) / (self.count + trust)


@dataclass(slots=True)
class _Ratio:
    """How much longer runs take than was expected of them otherwise; 1 until enough is known."""

    actual: float = 0.0
    expected: float = 0.0
    count: float = 0.0

    def learn(self, actual: float, expected: float) -> None:
        self.actual += actual
        self.expected += expected
        self.count += 1.0
        if self.count > MEMORY:
            self.actual, self.expected, self.count = self.actual / 2, self.expected / 2, self.count / 2

    @property
    def value(self) -> float:
        if not self.count:
            return 1.0
        prior = TRUST * self.expected / self.count
        return (self.actual + prior) / (self.expected + prior)


_ONE = _Ratio()


class _Means(dict[Hashable, _Mean]):
    """Means by class. The class that was learned of longest ago is forgotten first."""

    def learn(self, key: Hashable, value: float) -> None:
        mean = self.pop(key, None) or _Mean()
        self[key] = mean
        if len(self) > _MOST_CLASSES:
            del self[next(iter(self))]
        mean.learn(value)

    def towards(self, keys: Iterable[Hashable], prior: float, trust: float) -> float:
        """The estimate of the narrowest class. Each is drawn towards the one before, the first towards `prior`."""
        for key in keys:
            if (mean := self.get(key)) is not None:
                prior = mean.towards(prior, trust)
        return prior


class Estimates:
    """Learned seconds. A run is predicted for the GPU class seen first; `speed` says how others compare."""

    def __init__(self) -> None:
        self._runs = _Means()
        self._loads = _Means()
        self._kinds: dict[str, str] = {}
        self._prices: dict[str, float] = {}
        self._reference: str | None = None
        self._speeds: dict[str, _Ratio] = {}
        self._sizes: dict[int, _Ratio] = {}
        self._miss = _Mean()

    def run(self, models: tuple[str, ...], work: Work, tenant: str) -> float:
        """Seconds that a run takes, without loads."""
        usual = self._runs.towards(_classes(models, work, tenant), FIRST_RUN, TRUST)
        return max(usual * self._sizes.get(_size(work), _ONE).value, 1e-3)

    def load(self, model: str) -> float:
        """Seconds that it takes to load a model file."""
        known = self._loads.get(model)
        if known is not None:
            return known.total / known.count
        return self._usual_load(model)

    def _usual_load(self, model: str) -> float:
        """Seconds that files of its kind take, each counted once."""
        return self._loads.towards(((), ("kind", self._kinds.get(model))), FIRST_LOAD, 1.0)

    def loads(self, models: Iterable[str]) -> float:
        """Seconds that it takes to load model files one after the other."""
        return sum(map(self.load, models))

    def price(self, models: Iterable[str]) -> float:
        """Seconds that loading model files is priced at: of each, halfway in ratio from the usual load to its own.

        Priced at its own, who waits for a slow model waits longer by as much as it is slower. Of batches that begin
        with a set-up, it is the root of what that takes to which the best length of a batch grows (ADR 75).
        """
        return sum(self._prices.get(model) or self._price(model) for model in models)

    def _price(self, model: str) -> float:
        """Of one file, kept until more is known: whether a load pays is asked far more often than one is made."""
        if len(self._prices) >= _MOST_CLASSES:
            self._prices.clear()
        price = self._prices[model] = math.sqrt(self.load(model) * self._usual_load(model))
        return price

    def speed(self, gpu_class: str) -> float:
        """How long a run takes on a GPU of this class, as a multiple of what `run` says."""
        return self._speeds.get(gpu_class, _ONE).value

    @property
    def error(self) -> float:
        """By what part of itself a prediction of a run is wrong, on average."""
        return self._miss.towards(0.5, 1.0)

    def is_patched_in(self, model: str) -> bool:
        """Whether a model file is known to be one that is patched into others, such as a LoRA."""
        return "lora" in self._kinds.get(model, "").lower()

    def meet(self, model: str, node_class: str) -> None:
        """A model file is loaded by this node class: until it was loaded once, it is taken for one of that kind."""
        if model not in self._kinds:
            self._kinds[model] = node_class
            self._prices.pop(model, None)
        if len(self._kinds) > _MOST_CLASSES:
            del self._kinds[next(iter(self._kinds))]

    def learn_run(self, models: tuple[str, ...], work: Work, tenant: str, gpu_class: str, seconds: float) -> None:
        """A run took `seconds`."""
        if self._reference is None:
            self._reference = gpu_class
        if gpu_class != self._reference:
            ratio = self._speeds[gpu_class] = self._speeds.pop(gpu_class, _Ratio())
            ratio.learn(seconds, self.run(models, work, tenant))
            if len(self._speeds) > _MOST_GPU_CLASSES:
                del self._speeds[next(iter(self._speeds))]
        expected, speed = self.run(models, work, tenant), self.speed(gpu_class)
        size = self._sizes.setdefault(_size(work), _Ratio())
        usual = expected / size.value
        self._miss.learn(abs(seconds / speed - expected) / expected)
        for key in _classes(models, work, tenant):
            self._runs.learn(key, seconds / speed / size.value)
        size.learn(seconds / speed, usual)

    def learn_load(self, models: tuple[str, ...], seconds: float) -> None:
        """These model files were loaded one after the other in `seconds`, which they share as they are expected to."""
        expected = [self.load(model) for model in models]
        whole = sum(expected)
        for model, part in zip(models, expected, strict=True):
            share = seconds * part / whole if whole else seconds / len(models)
            first = model not in self._loads
            self._loads.learn(model, share)
            self._prices.pop(model, None)
            if first:
                self._prices.clear()
                self._loads.learn((), share)
                self._loads.learn(("kind", self._kinds.get(model)), share)


def _classes(models: tuple[str, ...], work: Work, tenant: str) -> Iterator[Hashable]:
    """What a run is one of, from wide to narrow."""
    yield ()
    yield (models,)
    yield (models, work.shape)
    yield (models, work.shape, tenant)


def _size(work: Work) -> int:
    """Sizes are told apart by half octaves. What a larger one costs is learned from all runs together."""
    return round(2 * math.log2(work.units)) if 0 < work.units < math.inf else 0
