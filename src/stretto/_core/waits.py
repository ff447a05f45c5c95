"""The waits in the middle of a step: who waits is given an event, and needs a worker to go on.

A step that waits leaves its worker and is no longer at work, but its run is not stuck: a wait counts as one who may
still send. What no step takes and nobody waits for is kept in the mailbox.
"""

from __future__ import annotations

from ..errors import RunEndedError, WorkflowError, shown
from ..events import Event
from .delivery import Delivery
from .effects import NOTHING, Effect, Effects, Kept, Resume
from .mail import Mail
from .outcome import Outcome
from .past import Held
from .waiting import Mailbox, Waiter, Waiters

__all__ = ["Waits"]


class Waits(Outcome):
    """Begins and ends the waits of a run, and keeps its mail."""

    def _wait_began(self, waiter: Waiter, *, parks: bool) -> Effects:
        past = waiter.delivery.past
        mail = None if past is None else past.given_before(waiter)
        waiter.repeats = mail is not None
        if mail is None and waiter.error is None and self.mailbox is not None:
            mail = self.mailbox.claim(waiter)
            if mail is not None:
                self._count_answered(waiter.step, mail.event)
        if mail is not None or waiter.error is not None:
            waiter.mail = mail
            self._note_given(waiter)
            return (Resume(waiter=waiter),)
        if self._waits_for_itself(waiter):
            return (Resume(waiter=waiter),)
        if self.waiters is None:
            self.waiters = Waiters()
        self.waiters.add(waiter)
        self.feeders += waiter.feeds
        self.detour = True
        waiter.parked = parks and waiter.delivery in self.active  # and not in the middle of another step
        freed = self._leave_worker(waiter.delivery) if waiter.parked else None
        if freed is None:
            return self._check_stalled() if self.hosted else NOTHING
        return (freed,)

    def _waits_for_itself(self, waiter: Waiter) -> bool:
        """Whether the wait has failed: the step holds back what it waits for, until it returns."""
        past = waiter.delivery.past
        if past is None or not past.held or self._goes_elsewhere(waiter.kind):
            return False
        for held in past.held:
            if held.is_for_a_wait and type(held.event) is waiter.kind and waiter.fits(held.event):
                waiter.error = _would_wait_for_itself(waiter, held.event)
            if waiter.error is not None:
                return True
        return False

    def _held_for_itself(self, delivery: Delivery, held: Held) -> Effects:
        """What a step holds back from now on may be what a task of it waits for."""
        event = held.event
        if self.waiters is None or not held.is_for_a_wait or self._goes_elsewhere(type(event)):
            return NOTHING
        for waiter in [each for each in self.waiters.may_fit(event) if each.delivery is delivery]:
            if waiter.fits(event):
                waiter.error = _would_wait_for_itself(waiter, event)
            if waiter.error is not None:
                self._withdraw(waiter)
                return self._resume(waiter)
        return NOTHING

    def _goes_elsewhere(self, kind: type[Event]) -> bool:
        """Whether a step, or another run, takes such events, so that who waits for one may mean another one."""
        return kind in self.crossing or bool(self.plan.routes.find(kind))

    def hand_over(self, waiter: Waiter) -> Event | None:
        """What came from outside and nobody has waited for yet, for a step of another run that waits for it."""
        mail = None if self.mailbox is None else self.mailbox.claim(waiter, from_outside=True)
        return None if mail is None else mail.event

    def _wait_timed_out(self, waiter: Waiter) -> Effects:
        return [*self._resume(waiter), *self._check_stalled()] if self._withdraw(waiter) else NOTHING

    def _wait_answered(self, waiter: Waiter, event: Event | None) -> Effects:
        if not self._withdraw(waiter):
            return NOTHING
        waiter.mail = None if event is None else Mail(event, outside=False)
        return self._resume(waiter)

    def _wait_cancelled(self, waiter: Waiter) -> Effects:
        waited = self._withdraw(waiter)
        if waiter.parked:
            self._resume_unserved(waiter, queued=not waited)
        mail, waiter.mail = waiter.mail, None
        if mail is not None:
            _forget_given(waiter.delivery, mail)
        return [*(() if mail is None else self._give_back(mail)), *self._check_stalled()]

    def _withdraw(self, waiter: Waiter) -> bool:
        """Whether it was still waiting; now it is not."""
        if self.waiters is None or not self.waiters.discard(waiter):
            return False
        self._waits_no_more(waiter)
        if self.mailbox is not None:
            self.mailbox.pass_by(waiter)
        return True

    def _waits_no_more(self, waiter: Waiter) -> None:
        self.feeders -= waiter.feeds
        if not self.waiters:
            self.detour = self._takes_detour()

    def _takes_detour(self) -> bool:
        """Whether an event may have to go another way than to its step, although nobody waits."""
        if self.plan.joins or self.crossing or (self.flows is not None and self.flows.cancels):
            return True
        return self.room is not None or self.shedding is not None or self.ended is not None

    def _concluded(self) -> Effects:
        effects: list[Effect] = []
        for waiter in tuple(self.waiters or ()):  # in a task that is none of the run's
            waiter.error = RunEndedError(
                f"the run of {self.plan.name} is over, and nothing more comes for a wait"
            )
            self._withdraw(waiter)
            effects.append(Resume(waiter=waiter))
        for mail in self.mailbox.take_inside() if self.mailbox is not None else ():
            nobody = ", and nobody waited for it" if mail.passed is None else ""
            effects += self._dead(mail.event, self._no_taker(mail) + nobody)
        return effects

    def _note_given(self, waiter: Waiter) -> None:
        """The step is given an event: if it runs again, in another attempt or after a restart, it will ask again."""
        if waiter.mail is not None:
            waiter.delivery.own_past().note_given(waiter.mail, self.collect_limit)

    # -- the mail --------------------------------------------------------------------------------------------

    def _offer(self, mail: Mail, effects: list[Effect]) -> bool:
        """Whether somebody waits for it and is given it."""
        if self.waiters is None:
            return False
        done = self.waiters.offer(mail)
        for waiter in done:
            self._waits_no_more(waiter)
            self._note_given(waiter)
            if waiter.mail is not None:
                self._count_answered(waiter.step, waiter.mail.event)
            effects += self._resume(waiter)
        return bool(done) and done[-1].mail is mail

    def _keep(self, mail: Mail) -> Effects:
        """What no step takes waits for somebody who does."""
        mailbox = self._mailbox()
        first = type(mail.event) not in mailbox
        if mailbox.put(mail):
            tell = first and not self.plan.may_await(type(mail.event))
            if not tell:
                return NOTHING
            return (Kept(event=mail.event, reason=self._no_taker(mail) + self.plan.meant(type(mail.event))),)
        return self._dead(
            mail.event, f"{self._no_taker(mail)}, and {self.collect_limit} such events are kept already"
        )

    def _no_taker(self, mail: Mail) -> str:
        from .reporting import no_taker  # noqa: PLC0415 - for what goes astray

        return no_taker(self, mail)

    def _give_back(self, mail: Mail) -> Effects:
        effects: list[Effect] = []
        if not self._offer(mail, effects):
            self._mailbox().put_back(mail)
        return effects

    def _mailbox(self) -> Mailbox:
        if self.mailbox is None:
            self.mailbox = Mailbox(self.collect_limit)
        return self.mailbox


def _would_wait_for_itself(waiter: Waiter, event: Event) -> WorkflowError:
    return WorkflowError(
        f"{waiter.step.label} waits for {shown(event)}, which it has sent itself and which is held back until it "
        'returns (emit="on_success"): it would wait for ever; leave out emit="on_success", or let another step send it'
    )


def _forget_given(delivery: Delivery, mail: Mail) -> None:
    """The step was cancelled before it saw the event."""
    given = None if delivery.past is None else delivery.past.given
    if given is not None and mail in given:
        given.remove(mail)
