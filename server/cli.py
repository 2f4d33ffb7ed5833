"""`chengxin`: every way to start, set up and check the house.

demo           engines, sample city, server, and a narrated walk through all ways to a coupon; or a whole year
serve          HTTP, with processes that are replaced when they die
worker         what happens without a request
bootstrap-db   roles, database and grants, once, as a superuser
migrate        tables and functions, at each release
create-admin   an administrator with password and TOTP
check-ledger   the proof that the books balance, and that no row was changed
jobs           grant jobs and batches of codes under way, with progress
verify-draw    a lottery's draw again, from its published file alone
ledger-head    the days' heads, into a file that is kept outside
expire-points  points past their last day, now instead of at night
ledger-month   old months of the journal leave for the archive and come back
set-lists      the city's bands, towns, interests and kinds of merchants
import-bands   band and town of enrolled residents, from a file
load-sample    the sample city, into a sandbox

Commands import what they need themselves, so that a process starts with nothing more than it runs.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import sys
from pathlib import Path

import asyncpg
import click
import msgspec

from server.cli_draw import verify_draw
from server.cli_exits import EX_IOERR, EX_NOPERM, EX_PIPE, EX_UNAVAILABLE, fail
from server.cli_jobs import jobs
from server.cli_ledger import check_ledger, ledger_head
from server.cli_letters import letters
from server.cli_months import OWNER_URL, ledger_month
from server.cli_people import import_bands, set_lists
from server.config import EX_CONFIG, Settings, UnsafeSettings
from server.kit.errors import AppError
from server.kit.logging import configure_logging
from wallet.errors import VaultUnavailable


class Commands(click.Group):
    """Says what was refused or could not be reached in one line; a trace is for what nobody foresaw."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except AppError as refused:
            at = f" ({refused.field})" if refused.field else ""
            raise click.ClickException(f"{refused.code}{at}: {refused.message}") from None
        except (
            ConnectionError,
            socket.gaierror,
            TimeoutError,
            asyncpg.PostgresConnectionError,
            VaultUnavailable,
        ) as unreachable:
            if isinstance(unreachable, BrokenPipeError) and _nobody_reads():
                # What is left in the buffer goes nowhere, at the end of the interpreter either.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise SystemExit(EX_PIPE) from None
            fail(f"not reached: {unreachable}", EX_UNAVAILABLE)
        except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as refusal:
            fail(f"refused by the database: {refusal}", EX_UNAVAILABLE)
        except asyncpg.InsufficientPrivilegeError as refusal:
            fail(f"this role may not: {refusal}", EX_NOPERM)
        except (asyncpg.DataCorruptedError, asyncpg.IndexCorruptedError) as rotten:
            fail(f"the database cannot read what it stored: {rotten}", EX_IOERR)


def _nobody_reads() -> bool:
    """Whether standard output is a pipe whose reader has gone, as after `| head -1`."""
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)
    return bool(output.poll(0))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="chengxin")
def main() -> None:
    """Chengxin (澄信): a city's voluntary credit-points programme."""


for command in (check_ledger, verify_draw, ledger_head, ledger_month, letters, jobs, set_lists, import_bands):
    main.add_command(command)


def _settings() -> Settings:
    try:
        settings = Settings()
        settings.check_production()
    except (ValueError, UnsafeSettings) as problem:
        click.echo(f"Error: {problem}", err=True)
        raise SystemExit(EX_CONFIG) from None
    configure_logging(settings.log_level)
    return settings


@main.command()
def serve() -> None:
    """Serve HTTP with CHENGXIN_WORKERS processes; one that dies is replaced."""
    from server import supervisor

    raise SystemExit(supervisor.serve(_settings()))


@main.command()
def worker() -> None:
    """Run the background process: relays, awards, expiry, upkeep."""
    import uvloop

    from server import worker as background

    settings = _settings()
    if not settings.worker_database_url:
        raise click.ClickException("CHENGXIN_WORKER_DATABASE_URL is not set")
    uvloop.run(background.serve(settings))


@main.command("bootstrap-db")
@click.option(
    "--superuser-url",
    envvar="CHENGXIN_SUPERUSER_URL",
    show_envvar=True,
    required=True,
    help="URL of a superuser, any database.",
)
@click.option("--database", default="chengxin", show_default=True)
@click.option("--owner-password", envvar="CHENGXIN_OWNER_PASSWORD", show_envvar=True, required=True)
@click.option("--app-password", envvar="CHENGXIN_APP_PASSWORD", show_envvar=True, required=True)
@click.option("--worker-password", envvar="CHENGXIN_WORKER_PASSWORD", show_envvar=True, required=True)
def bootstrap_db(
    superuser_url: str, database: str, owner_password: str, app_password: str, worker_password: str
) -> None:
    """Make the three roles, the database and its grants; safe to run again."""
    from server.kit import bootstrap as database_bootstrap

    passwords = {
        database_bootstrap.OWNER: owner_password,
        database_bootstrap.APP: app_password,
        database_bootstrap.WORKER: worker_password,
    }
    asyncio.run(database_bootstrap.bootstrap(superuser_url, database, passwords))
    click.echo(f"database {database} is ready for `chengxin migrate`")


@main.command()
@click.option("--to", "target", default=None, help='A migration\'s name, or "zero"; the latest by default.')
@OWNER_URL
@click.option(
    "--zone", envvar="CHENGXIN_CITY_ZONE", default="Asia/Shanghai", show_default=True, help="The city's time zone."
)
def migrate(target: str | None, url: str, zone: str) -> None:
    """Bring the database to the latest migration, one migrator at a time."""
    from server.kit import bootstrap as database_bootstrap
    from server.kit import migrations

    done = asyncio.run(migrations.migrate(url, target))
    if target is None:
        asyncio.run(database_bootstrap.set_zone(url, zone))
    click.echo("\n".join(done) if done else "nothing to do")


@main.command("create-admin")
@click.argument("username")
@click.option("--role", "roles", multiple=True, required=True, help="May be given several times.")
@click.option("--password", prompt=True, hide_input=True, confirmation_prompt=True, envvar="CHENGXIN_ADMIN_PASSWORD")
def create_admin(username: str, roles: tuple[str, ...], password: str) -> None:
    """Make an administrator; prints the otpauth address for the authenticator once."""
    from server.services import close_services, open_services

    async def run() -> None:
        services = await open_services(_settings())
        try:
            made = await services.administrators.create_admin(username, password, roles=roles)
            click.echo(f"administrator {made.id} {username}\n{made.otpauth_uri}")
        finally:
            await close_services(services)

    asyncio.run(run())


@main.command("expire-points")
@click.option("--again", is_flag=True, help="Look at every wallet once more when today's pass is finished.")
def expire_points(again: bool) -> None:
    """Book points past their last day, which the worker does every night; one pass at a time, whoever begins it. Exit
    status 1 when a wallet could not be booked."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    from server.expiry.points import Report
    from server.services import close_services, open_worker

    settings = _settings()
    if not settings.worker_database_url:
        raise click.ClickException("CHENGXIN_WORKER_DATABASE_URL is not set")
    columns = (
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
        TextColumn("{task.fields[wallets]} wallets, {task.fields[booked]} booked"),
    )  # fmt: skip

    async def run() -> tuple[Report, bool]:
        services = await open_worker(settings)
        try:
            if again:
                await services.expiry.again()
            before = await services.expiry.report()
            with Progress(*columns, console=Console(stderr=True)) as progress:
                bar = progress.add_task("expiry", total=1.0, wallets=0, booked=0)
                report = await services.expiry.run(
                    lambda report: progress.update(
                        bar, completed=report.share, wallets=report.wallets, booked=report.booked
                    )
                )
            # A pass that begins anew notes when; one that was finished stays as it was.
            return report, before is not None and before.finished_at == report.finished_at
        finally:
            await close_services(services)

    report, was_done = asyncio.run(run())
    if was_done:
        click.echo(
            f"{report.day}: this day's walk was already done at {report.finished_at:%H:%M:%SZ}; --again does it anew"
        )
    click.echo(
        f"{report.day}: {report.wallets} wallets, {report.booked} booked, {report.points} points,"
        f" {report.failed} failed{' then' if was_done else ''}"
    )
    raise SystemExit(1 if report.failed else 0)


@main.command("load-sample")
@click.option("--residents", default=20, show_default=True)
@click.option("--seed", default=2026, show_default=True)
def load_sample(residents: int, seed: int) -> None:
    """Load the sample city into a sandbox (merchants, campaigns, coupon templates, administrators); safe to run
    again."""
    from server.sandbox.loader import load_city

    settings = _settings()
    if settings.environment != "sandbox":
        raise click.ClickException("the sample city goes into a sandbox only")
    loaded = asyncio.run(load_city(settings, seed=seed, residents=residents))
    click.echo(msgspec.json.format(msgspec.json.encode(loaded)).decode())


@main.command()
@click.option("--once", is_flag=True, help="End after the walk.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path(".chengxin"),
    show_default=True,
    help="Where the engines keep their data.",
)
@click.option("--port", default=8000, show_default=True)
@click.option(
    "--residents", default=None, type=click.IntRange(1), help="20 by default; with --year 60, from 20 to 200."
)
@click.option("--year", is_flag=True, help="Live the year 2026 on a moved clock instead, and reconcile it.")
def demo(once: bool, folder: Path, port: int, residents: int | None, year: bool) -> None:
    """Start everything on this machine and walk over real HTTP: a redemption, a grant, a voucher code, a lottery.

    With --year: campaigns and coupons of many kinds are made in the console's API, lived by residents and shops over
    HTTP from January to December, and every book is held against every other; exit status 1 when any differs. It has a
    database of its own, made anew each time.
    """
    if year:
        from server.sandbox.year.demo import run_year

        residents = residents or 60
        if not 20 <= residents <= 200:
            raise click.BadParameter("a year takes 20 to 200 residents", param_hint="--residents")
        raise SystemExit(asyncio.run(run_year(folder=folder, port=port, residents=residents)))
    from server.sandbox.demo import run_demo

    residents = residents or 20
    raise SystemExit(asyncio.run(run_demo(folder=folder, port=port, residents=residents, once=once)))


if __name__ == "__main__":
    main()
