"""What type checkers know of the state of a run: `Context[Cart]` gives a Cart to edit, a bare Context anything."""

from __future__ import annotations

from typing import Any, assert_type

import attrs

from stretto import Context, StartEvent, StopEvent, ThreadContext, Workflow, step


@attrs.define
class Cart:
    items: list[str] = attrs.Factory(list[str])
    total: int = 0


@attrs.define
class LargeCart(Cart):
    pallets: int = 0


class Shop(Workflow[int]):
    @step
    async def add(self, ctx: Context[Cart], ev: StartEvent) -> StopEvent[int]:
        async with ctx.store.edit_state() as cart:
            assert_type(cart, Cart)
            cart.items.append("tea")
            cart.total = "5"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
            cart.totl = 5  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
        assert_type(await ctx.store.get_state(), Cart)
        assert_type(await ctx.store.get("total"), Any)
        await ctx.store.set("total", 5)
        await ctx.store.set(("items", 0), "tea")
        return StopEvent(result=cart.total)

    @step
    def in_a_thread(self, ctx: ThreadContext[Cart], ev: StartEvent) -> None:
        with ctx.store.edit_state() as cart:
            assert_type(cart, Cart)
        assert_type(ctx.store.get_state(), Cart)
        assert_type(ctx.store.get("total", 0), Any)
        ctx.store.set("total", 5)

    @step
    async def wrong_block(self, ctx: Context[Cart], ev: StartEvent) -> None:
        with ctx.store.edit_state():  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
            pass


async def a_bare_context_is_one_of_anything(
    ctx: Context, typed: Context[Cart], large: Context[LargeCart]
) -> None:
    async with ctx.store.edit_state() as state:
        assert_type(state, Any)
    await takes_any(typed)
    await takes_carts(large)
    await takes_carts(ctx)
    await takes_large(typed)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def takes_any(ctx: Context) -> None: ...


async def takes_carts(ctx: Context[Cart]) -> None: ...


async def takes_large(ctx: Context[LargeCart]) -> None: ...
