"""Who works and who waits for a worker: the queues of the steps of one run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from .counting import Counting
from .delivery import Delivery, Hold
from .effects import NOTHING, Effects, Resume
from .plan import StepPlan
from .waiting import Waiter

if TYPE_CHECKING:
    from .flow import Flow
    from .flows import Flows
    from .shedding import Row, Shedding

__all__ = ["Workers"]


class Workers(Counting):
    """Each step has so many workers; what comes on top waits in the order in which it came.

    Some of it is written out once more in the two methods of `Machine` that every hop goes through.
    """

    def _admit(self, delivery: Delivery) -> bool:
        """Whether a worker is free for it now; if not, it waits in the queue of its step."""
        if delivery.step.policies is not None:
            return self._admit_in_flow(delivery)
        index = delivery.step.index
        if self.busy[index] < delivery.step.limit:
            self.busy[index] += 1
            self.active[delivery] = None
            return True
        self._queue(delivery)
        if self.shedding is not None:
            self._drop_excess(self.shedding, delivery)
        return False

    def take_up(self, delivery: Delivery) -> bool:
        """One of a snapshot; whether a worker is free for it now."""
        self._count_taken(delivery.step, delivery.event)
        if self.flows is None or delivery.step.policies is None:
            index = delivery.step.index
            begins = self.busy[index] < delivery.step.limit
            if begins:
                self.busy[index] += 1
                self.active[delivery] = None
            else:
                self._queue(delivery)
            return begins
        flow = self.flows.of(delivery)
        return self._asked(flow, delivery) and self._entered(flow, delivery, flow.take_up)

    def take_up_quiet(self, delivery: Delivery, since: float, due: float) -> bool:
        """One of a snapshot that waited for quiet; whether it begins now, as its step asks for none any more."""
        if self.flows is None or delivery.step.policies is None:
            return self.take_up(delivery)
        self._count_taken(delivery.step, delivery.event)
        flow = self.flows.of(delivery)
        return self._asked(flow, delivery) and self._entered(
            flow, delivery, lambda each: flow.put_back(each, since, due)
        )

    def take_up_paused(self, delivery: Delivery) -> None:
        """One of a snapshot that is to be tried again."""
        if self.flows is not None and delivery.step.policies is not None:
            flow = self.flows.of(delivery)
            if self._asked(flow, delivery):
                flow.claim(delivery)

    def _queue(self, delivery: Delivery | Waiter) -> None:
        index = delivery.step.index
        queue = self.waiting[index]
        if queue is None:
            queue = self.waiting[index] = self._new_queue()
        queue.append(delivery)
        if self.room is not None and type(delivery) is Delivery:
            self.room.queued += 1
        if self.shedding is not None and type(delivery) is Delivery:
            self.shedding.add(delivery)

    def _new_queue(self) -> deque[Delivery | Waiter] | Row[Delivery | Waiter]:
        if self.shedding is None:
            return deque()
        from .shedding import Row  # noqa: PLC0415 - it is loaded

        return Row()

    def _drop_excess(self, shedding: Shedding, newcomer: Delivery) -> None:
        """One more waits in the run, and begins only later: of all that waits, some may be too much."""
        while (victim := shedding.excess(newcomer)) is not None:
            self.withdraw_queued(victim)
            shedding.dropped.append((victim, shedding.why(self.plan.name, victim)))

    def _release(self, delivery: Delivery) -> Delivery | Resume | None:
        """The delivery is over, and leaves its worker, who goes to the first that waits for the step."""
        if delivery.step.policies is not None:
            self._flow_of(delivery.step).give_back(delivery)
            self._forget(delivery)
        return self._leave_worker(delivery)

    def _pause(self, delivery: Delivery) -> Delivery | Resume | None:
        """As `_release`, and the delivery is tried again."""
        if delivery.step.policies is not None:
            self._flow_of(delivery.step).give_back(delivery)
        return self._leave_worker(delivery)

    def _leave_worker(self, delivery: Delivery) -> Delivery | Resume | None:
        """The worker goes to the first that waits for the step; the delivery may go on later."""
        del self.active[delivery]
        if delivery.step.policies is not None:
            return self._freed_in_flow(delivery.step)
        index = delivery.step.index
        if (queue := self.waiting[index]) and self.busy[index] <= delivery.step.limit:
            return self._next_in(queue)
        self.busy[index] -= 1
        return None

    def _next_in(self, queue: deque[Delivery | Waiter] | Row[Delivery | Waiter]) -> Delivery | Resume:
        freed = queue.popleft()
        if type(freed) is Delivery:
            if self.room is not None:
                self.room.queued -= 1
            if self.shedding is not None:
                self.shedding.discard(freed)
            self.active[freed] = None
            return freed
        return self._resumed(freed)

    def _resume(self, waiter: Waiter) -> Effects:
        """A wait is over: the step goes on when a worker is free for it, if it had left its own and the run goes on."""
        if not waiter.parked:
            return (Resume(waiter=waiter),)
        if self.ended is not None:
            return (self._resumed(waiter),)
        index = waiter.step.index
        if self.busy[index] < waiter.step.limit:
            self.busy[index] += 1
            return (self._resumed(waiter),)
        if waiter.step.policies is None:
            self._queue(waiter)
        else:
            self._flow_of(waiter.step).resumed.append(waiter)
        return NOTHING

    def _held_up(self, hold: Hold) -> Effects:
        """A step keeps its worker while it waits for a turn of something."""
        if not hold.begun:
            if self.in_line is None:
                self.in_line = {}
            self.in_line[hold.delivery] = hold
            return NOTHING
        if self.holds is None:
            self.holds = {}
        self.holds[hold] = None
        return NOTHING

    def _goes_on(self, hold: Hold) -> Effects:
        if self.in_line is not None and not hold.begun:
            self.in_line.pop(hold.delivery, None)
        elif self.holds is not None:
            self.holds.pop(hold, None)
        return NOTHING

    def withdraw_queued(self, delivery: Delivery) -> bool:
        """Whether it waited for a worker; now it does not."""
        if self.flows is not None and delivery.step.policies is not None:
            if not self.flows.of(delivery).remove(delivery):
                return False
            self._forget(delivery)
            return True
        queue = self.waiting[delivery.step.index]
        if not queue or delivery not in queue:
            return False
        queue.remove(delivery)
        if self.room is not None:
            self.room.queued -= 1
        if self.shedding is not None:
            self.shedding.discard(delivery)
        return True

    def _waiters_in_queues(self) -> list[Waiter]:
        """Takes out of the queues whoever has waited in the middle of a step and now waits for a worker."""
        found = [each for each in self.in_queues() if type(each) is Waiter]
        for waiter in found:
            self._take_out(waiter)
        return found

    def _take_out(self, waiter: Waiter) -> None:
        if waiter.step.policies is not None:
            self._flow_of(waiter.step).resumed.remove(waiter)
            return
        queue = self.waiting[waiter.step.index]
        assert queue is not None, "it waits there"
        queue.remove(waiter)

    def _resumed(self, waiter: Waiter) -> Resume:
        self.active[waiter.delivery] = None
        waiter.parked = False
        return Resume(waiter=waiter)

    def _resume_unserved(self, waiter: Waiter, *, queued: bool) -> None:
        """A step goes on whether a worker is free or not; if not, one fewer of those that wait does later."""
        if queued:
            self._take_out(waiter)
        self.busy[waiter.step.index] += 1
        self._resumed(waiter)

    # -- steps with policies ---------------------------------------------------------------------------------

    def _flow_of(self, step: StepPlan) -> Flow:
        assert self.flows is not None, "hold_back comes before the first event"
        return self.flows.by_step[step.index]

    def _admit_in_flow(self, delivery: Delivery) -> bool:
        """Whether it begins now. It may be held back, or never begin, and others may begin or end by that."""
        flow = self._flow_of(delivery.step)
        if not self._asked(flow, delivery):
            return False
        begins = self._entered(flow, delivery, flow.put if delivery.attempt == 1 else flow.take_up)
        if self.shedding is not None and not begins:
            self._drop_excess(self.shedding, delivery)
        return begins

    def _asked(self, flow: Flow, delivery: Delivery) -> bool:
        """Whether the functions of the user have told what is asked about an event, and the keys can be compared."""
        try:
            flow.ask(delivery)
        except BaseException as error:  # noqa: ASYNC103, BLE001 - told as what ends the run
            flow.backlog.broken.append((delivery, error, flow.asking))
            return False  # noqa: ASYNC104
        return True

    def _entered(self, flow: Flow, delivery: Delivery, enter: Callable[[Delivery], object]) -> bool:
        begun = flow.backlog.begun
        enter(delivery)
        self._pump(flow)
        flow.trim(delivery)
        if delivery not in begun:
            return False
        begun.remove(delivery)
        return True

    def _freed_in_flow(self, step: StepPlan) -> Delivery | Resume | None:
        """A worker of the step is free."""
        flow = self._flow_of(step)
        begun = flow.backlog.begun
        before = len(begun)
        self.busy[step.index] -= 1
        self._pump(flow)
        if len(begun) == before:
            return None
        first = begun[before]
        del begun[before]
        return first

    def _pump(self, flow: Flow) -> None:
        """Begins what waits for a worker alone, while there are workers."""
        index, limit = flow.step.index, flow.step.limit
        while self.busy[index] < limit and not flow.backlog.paused:
            if flow.resumed:
                self.busy[index] += 1
                flow.backlog.begun.append(self._resumed(flow.resumed.popleft()))
            elif (delivery := flow.pick()) is not None:
                self.busy[index] += 1
                self.active[delivery] = None
                flow.backlog.begun.append(delivery)
            else:
                break

    def _turn(self, flows: Flows) -> None:
        """What has become due by now is looked at."""
        for delivery in flows.quiet.take_due(flows.at):
            flow = flows.of(delivery)
            if not self._asked(flow, delivery):
                flow.remove(delivery)
                continue
            flow.let_in(delivery)
            self._pump(flow)
            flow.trim(delivery)
            if self.shedding is not None:
                self._drop_excess(self.shedding, delivery)
        for lane in flows.alarms.take_due(flows.at):
            flow = flows.by_step[lane.index]
            flow.called(lane)
            self._pump(flow)
            flow.let_pass(lane)

    def _forget(self, delivery: Delivery) -> None:
        """No attempt of it follows."""
        if delivery.step.policies is not None:
            self._flow_of(delivery.step).forget(delivery)
