"""The events of a simulation, in chronological order."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import count

from stoker.sizing.fleet import Fleet, Replica, VllmReplica
from stoker.sizing.in_flight import InFlight
from stoker.sizing.recording import Recording
from stoker.sizing.routing import Router
from stoker.sizing.slot_engine import SlotEngine
from stoker.sizing.vllm_engine import VllmEngine
from stoker.sizing.workload import ArrivingRequest, Seat, Workload, seats_of

#: Requests that take longer than this after the end are counted as lost: far beyond any patience.
_LONGEST_DRAIN_S = 24 * 3600.0

_SEND, _QUEUE, _STEPS = 0, 1, 2
#: A simulated engine.
Engine = VllmEngine | SlotEngine
Event = tuple[float, int, int, int, InFlight | None]


class FleetRun:
    """One run: seats or a trace send requests, replicas make steps, a recording counts."""

    def __init__(
        self, fleet: Fleet, duration_s: float, warm_up_s: float, seed: int, slices: int
    ) -> None:
        self.duration_s = duration_s
        self.warm_up_s = warm_up_s
        self.recording = Recording(duration_s, warm_up_s, len(fleet.replicas), slices)
        self._seed = seed
        self._engines = [engine_of(replica) for replica in fleet.replicas]
        self._gateway_s = fleet.gateway_s
        self._step_times = [replica.step_times for replica in fleet.replicas]
        self._router = Router(fleet.routing, self._engines, seed)
        self._workload: Workload | None = None
        self._seats: list[Seat] = []
        self._requests: Sequence[ArrivingRequest] = ()
        self._events: list[Event] = []
        self._numbers = count()
        #: For each replica the number of the event that ends its steps; others are out of date.
        self._due = [-1] * len(self._engines)
        self._began_s = [0.0] * len(self._engines)

    def seat_all(self, workload: Workload) -> None:
        """Let the seats of a workload send requests, each after the answer to its last one."""
        self._workload = workload
        self._seats = seats_of(workload, self._seed)
        for number, seat in enumerate(self._seats):
            self._push(seat.first_s(), _SEND, number)

    def replay(self, requests: Sequence[ArrivingRequest]) -> None:
        """Send ``requests`` at their own times, which are in order."""
        self._requests = requests
        if requests:
            self._push(requests[0].at_s, _SEND, 0)

    def until_drained(self) -> float:
        """Run until everything that was sent is answered. Returns when that is."""
        events, now_s, last_s = self._events, 0.0, 0.0
        latest_s = self.duration_s + _LONGEST_DRAIN_S
        while events and now_s < latest_s:
            now_s, number, what, index, one = heappop(events)
            if what == _STEPS:
                if self._due[index] == number:
                    self._end_steps(index, now_s)
                    last_s = now_s
            elif what == _SEND:
                self._send(index, now_s)
            elif one is not None:
                self._queue(one, index, now_s)
        return last_s

    def _push(self, at_s: float, what: int, index: int, one: InFlight | None = None) -> int:
        number = next(self._numbers)
        heappush(self._events, (at_s, number, what, index, one))
        return number

    def _send(self, index: int, now_s: float) -> None:
        if now_s >= self.duration_s:
            return
        if self._workload is None:
            request, seat = self._requests[index], -1
            if index + 1 < len(self._requests):
                self._push(self._requests[index + 1].at_s, _SEND, index + 1)
        elif index >= self._workload.active_seats(now_s, self.duration_s):
            self._push(self._workload.next_change_s(now_s, self.duration_s), _SEND, index)
            return
        else:
            request, seat = self._seats[index].next_request(now_s), index
        self.recording.arrived(now_s)
        one = InFlight(request, seat)
        one.replica = replica = self._router.choose(request)
        delay_s = self._gateway_s + self._step_times[replica].before_queue_s(request.prompt_tokens)
        if self._engines[replica].refuses(one):
            self._refuse(one, now_s)
        elif delay_s:
            self._push(now_s + delay_s, _QUEUE, replica, one)
        else:
            self._queue(one, replica, now_s)

    def _refuse(self, one: InFlight, now_s: float) -> None:
        self.recording.refuse(now_s)
        self._send_next(one, now_s)

    def _queue(self, one: InFlight, replica: int, now_s: float) -> None:
        engine = self._engines[replica]
        engine.add(one)
        if self._due[replica] < 0:
            self._begin_steps(replica, now_s)
            return
        waiting = len(engine.waiting)
        self.recording.most_waiting = max(self.recording.most_waiting, waiting)
        end_s = engine.interrupt(now_s)
        if end_s is not None:
            self._due[replica] = self._push(end_s, _STEPS, replica)

    def _begin_steps(self, replica: int, now_s: float) -> None:
        end_s = self._engines[replica].start(now_s)
        self._began_s[replica] = now_s
        self._due[replica] = -1 if end_s is None else self._push(end_s, _STEPS, replica)

    def _end_steps(self, replica: int, now_s: float) -> None:
        self.recording.busy(replica, self._began_s[replica], now_s)
        for one in self._engines[replica].finish(now_s):
            self.recording.answered(one, now_s)
            self._send_next(one, now_s)
        self._begin_steps(replica, now_s)

    def _send_next(self, one: InFlight, now_s: float) -> None:
        if one.seat >= 0:
            self._push(now_s + self._seats[one.seat].pause_s(), _SEND, one.seat)


def engine_of(replica: Replica) -> Engine:
    """A simulated engine with the settings of ``replica``."""
    return VllmEngine(replica) if isinstance(replica, VllmReplica) else SlotEngine(replica)
