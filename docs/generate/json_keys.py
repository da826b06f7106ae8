"""What every key of every JSON document is: one line a key, `path | what it holds | in words`.

What it holds: text, whole, number, bool, time (ISO 8601, UTC), day (ISO date), amount (text), object (its keys are not
promised), amounts (an object: currency -> amount), or an enumeration of `enumerations.py`. `?` at the end: or null.
Lists and objects are told by their members (`items[].qr_id`, `plan.state`). A block that several documents share is
named in braces, `items[].{qr row}`.
"""

from __future__ import annotations

_BLOCKS = {
    "qr row": """
        qr_id | text | the bank's id of the QR
        bank | text | its name in the settings
        status | status | where the QR stands
        amount | amount? | asked for; null: any amount
        currency | text | ISO 4217
        paid | amount | booked so far
        account | text | the account that is credited
        due_at | time? | last payable moment
        next_check_at | time? | when the bank is asked next; null when nothing is asked any more
        plan_state | plan state | where its plan stands
        checks | whole | regular checks used
        environment | environment | which of the bank's environments knows it
        registered_at | time | when paysync learned of it
    """,
    "qr now": """
        qr_id | text | the bank's id of the QR
        bank | text | its name in the settings
        environment | environment | which of the bank's environments knows it
        status | status | where the QR stands
        plan_state | plan state | where its plan stands
        next_check_at | time? | when the bank is asked next; null when nothing is asked any more
    """,
    "qr now or unknown": """
        bank | text? | its name in the settings
        environment | environment? | which of the bank's environments knows it
        status | status? | where the QR stands
        plan_state | plan state? | where its plan stands
        next_check_at | time? | when the bank is asked next
    """,
    "page": """
        next | text? | for --after: the page after this one; null on the last
    """,
    "review": """
        id | whole | its number
        qr_id | text | the bank's id of the QR, known to us or not
        bank | text | whose news it is
        environment | environment | of the bank
        reason | review reason | why a person must decide
        state | review state | open or resolved
        opened_at | time | when the news came
        resolved_at | time? |
        resolved_by | text? | user@host
        resolution | verdict? | how it was resolved
        resolution_reason | text? | what the person wrote
        detail | object | what the bank said: amount, currency, transaction ... as the reason needs
    """,
    "where": """
        where.database | text | path, or URL without its password
        where.redis | text | likewise, or the folder of the embedded server
        where.settings_files[] | text | settings files that were read
    """,
    "finding": """
        area | text | what was looked at: redis, database, queues, work, settings, bank NAME
        code | text | stable; of the area
        level | level | ok, warning or fault
        text | text | in words
        mend | text? | the command or act that helps
    """,
    "breaker": """
        breaker.state | breaker state | closed: the bank is asked
        breaker.failures | whole | in a row
        breaker.probe_in_s | number? | until it is tried again
        breaker.ramp_per_s | number? | questions a second while it comes back
        breaker.in_flight | whole | questions without an answer yet
        breaker | object? | null when Redis was not at hand
    """,
    "bank": """
        name | text | in the settings
        adapter | text | who speaks to it
        adapter_error | text? | why it cannot be loaded
        environment | environment | production or certification
        base_url | text |
        state | bank state | whether it is asked, and why not
        rate_per_s | number | questions a second, all workers together
        concurrency | whole | questions at the same time, all workers together
        settings_rate_per_s | number | what the settings say
        settings_concurrency | whole | what the settings say
        open | whole | QRs that are not final
        due | whole | QRs whose moment has come
        paused_until | time? | null while it is not paused, or without an end
        paused_by | text? | user@host
        pause_reason | text? |
        stopped_at | time? | when the bank refused our credential
        stop_reason | text? | what it said
        {breaker}
        swept_day | day? | the last day whose list was read complete
        last_sweep | time? |
        last_good_sweep | time? |
        sweep_error | text? | what stopped the last sweep
    """,
    "warning": """
        code | error code | stable
        message | text | in words
        hint | text? | what to do
    """,
    "registered": """
        created | whole | registered and planned
        already_planned | whole | known and untouched
        moved | whole | asked for an earlier moment
        conflict | whole | known with other data: nothing changed
        final | whole | completed, cancelled or expired already
        updated | whole | changed with --update
        invalid | whole | lines or requests that could not be read
    """,
    "registered item": """
        qr_id | text | the bank's id of the QR
        outcome | register outcome | what became of it
        next_check_at | time? | when the bank is asked
        detail | text? | what differs, what changed
    """,
    "embedded": """
        state | redis state | running and how
        running | bool |
        pid | whole? |
        socket | text? | its Unix socket
        url | text? | without its password
        flavour | text? | valkey or redis
        version | text? |
        binary | text? | the server program
        folder | text | where its data is
        log | text | its log file
        keep | bool | stays on when the last process leaves
        others_attached | bool | other processes use it
        used | bool | false when REDIS_URL names another Redis
    """,
    "tally": """
        matched | whole | found
        removed | whole | gone; 0 with --dry-run
    """,
    "schema": """
        version | text? | of the database; null: no table of ours yet
        head | text | which this paysync needs
        up_to_date | bool |
        before | text? | what it was before the upgrade
        database | text | path, or URL without its password
    """,
    "held": """
        final | whole | completed, cancelled or expired already
        not_found | whole | nobody knows them
        items[].qr_id | text | as it was named
        items[].outcome | hold outcome |
        items[].{qr now or unknown}
    """,
    "run": """
        checks | whole | that were run
        cut_short | bool | not all of them ended inside the grace
        worker | text? | its name
        stopped_by | text? | a signal, `nothing is due`, or a command of RQ
        left[].bank | text | a bank that may not be asked
        left[].reason | left reason | why
        left[].due | whole | its QRs that are due
    """,
}

DOCUMENTS = {
    "": """
        version | text | of paysync
        python | text |
        system | text |
        packages | object | package -> version
    """,
    "demo": """
        agrees | bool | every amount adds up
        complete | bool | every QR ended as its story tells
        home | text | where its data is kept
        books | amounts | what was booked
        balances | amounts | what the accounts hold
        bank | amounts | what the bank was paid
        items[].qr_id | text |
        items[].story | text | what happens to it
        items[].amount | amount | asked for
        items[].currency | text |
        items[].paid | amounts | booked
        items[].status | status |
        items[].checks | whole |
        items[].reviews[] | review reason | opened for it
        next_steps[] | text | command lines to look at it
    """,
    "config show": """
        settings[].key | text | TOML key; of a bank `banks.NAME.KEY`
        settings[].value | text? | secrets masked
        settings[].origin | origin | where it comes from
        settings[].name | text? | variable or key
        settings[].path | text? | file
        settings_files[] | text | that were read
        warnings[].{warning}
    """,
    "config init": """
        path | text | the file that was written
    """,
    "config check": """
        settings_files[] | text | that were read
        settings_files | object? | null when they could not be
        banks[] | text | names of the banks that are right
        banks | object? | null when the settings could not be read
        warnings[].{warning}
    """,
    "doctor": """
        {where}
        worst | level | of all findings
        faults | whole |
        warnings | whole |
        findings[].{finding}
    """,
    "enqueue": """
        {registered}
        bank | text |
        environment | environment |
        items[].{registered item}
    """,
    "import": """
        {registered}
        lines | whole | read
        dry_run | bool |
        items[].{registered item}
        items[].bank | text |
        items[].line | whole | where it stands in the file
        items_cut | whole | items that are not listed
        invalid_lines[].line | whole |
        invalid_lines[].qr_id | text? | where it could be read
        invalid_lines[].faults[].code | error code |
        invalid_lines[].faults[].message | text |
    """,
    "list": """
        items[].{qr row}
        {page}
    """,
    "find": """
        items[].{qr row}
        items[].found_by | found by | what matched
        {page}
    """,
    "show": """
        qr_id | text | the bank's id of the QR
        bank | text | its name in the settings
        environment | environment | which of the bank's environments knows it
        status | status | where the QR stands
        amount | amount? | asked for; null: any amount
        currency | text | ISO 4217
        paid | amount | booked so far
        account | text | the account that is credited
        multi_use | bool | may be paid more than once
        due_at | time? | last payable moment
        issued_at | time? |
        registered_at | time |
        notified_at | time? | when the bank last gave notice of it (`serve --notify`)
        plan.state | plan state |
        plan.next_check_at | time? |
        plan.checks | whole | regular checks used
        plan.max_checks | whole | regular checks granted
        plan.attempts | whole | failed attempts of the check under way
        plan.priority | priority |
        checks[].seq | whole | number of the check
        checks[].attempt | whole | from 1
        checks[].at | time |
        checks[].outcome | check outcome |
        checks[].bank_status | bank status? |
        checks[].duration_ms | whole? |
        checks[].error | text? | why there is no answer
        movements[].bank_transaction_id | text |
        movements[].amount | amount |
        movements[].currency | text |
        movements[].paid_at | time? | null where the bank does not tell
        movements[].payer | text? |
        movements[].account | text |
        movements[].booked_at | time |
        movements[].source | source |
        reviews[].id | whole |
        reviews[].reason | review reason |
        reviews[].state | review state |
        reviews[].opened_at | time |
        reviews[].resolved_at | time? |
        reviews[].resolved_by | text? |
        reviews[].resolution | verdict? |
        reviews[].resolution_reason | text? |
        reviews[].detail | object |
        transitions[].at | time |
        transitions[].old | status? | null when registered
        transitions[].new | status |
        transitions[].cause | cause |
        actions[].at | time |
        actions[].who | text | user@host
        actions[].action | text |
        actions[].reason | text? |
        actions[].detail | object |
        job | object? | its RQ job, when Redis has one
        job.id | text |
        job.state | text | listed, started, finished, failed
        job.queue | text? |
        job.worker | text? |
        job.enqueued_at | time? |
        job.started_at | time? |
        job.ended_at | time? |
    """,
    "explain": """
        {qr now}
        blocked | bool | nothing is asked
        reasons[].code | reason code |
        reasons[].message | text | in words
        reasons[].blocks | bool | nothing is asked because of it
        checks | whole | regular checks used
        max_checks | whole | regular checks granted
    """,
    "check": """
        asked | whole |
        changed | whole | QRs whose status changed
        failed | whole | without an answer
        items[].qr_id | text |
        items[].bank | text |
        items[].outcome | asked outcome |
        items[].previous | status | before
        items[].status | status | now
        items[].booked[].bank_transaction_id | text |
        items[].booked[].amount | amount |
        items[].booked[].currency | text |
        items[].next_check_at | time? |
        items[].error | text? | why there is no answer
    """,
    "wait": """
        {qr now}
        final | bool |
    """,
    "hold": """
        held | whole |
        already_held | whole |
        {held}
    """,
    "release": """
        released | whole |
        not_held | whole |
        {held}
    """,
    "worker": """
        {run}
        workers[].{run}
        counted | object? | null without --health-port: nothing was counted; with --processes of all of them
        counted[].metric | text | a counter of the metrics page
        counted[].labels | object | label -> value
        counted[].value | whole | where it stood at the end; those at 0 are left out
    """,
    "dispatch": """
        moved | whole | checks handed to the queues
        next_at | time? | when the next one is due
    """,
    "workers": """
        items[].name | text |
        items[].condition | worker condition | by the age of its heartbeat; killed on this host: stale at once
        items[].state | text | RQ's word (idle, busy, suspended ...), stopped, killed
        items[].leader | bool |
        items[].host | text? |
        items[].pid | whole? |
        items[].heartbeat_age_seconds | number? |
        items[].concurrency | whole? |
        items[].current | whole | checks in flight
        items[].done | whole? | null when nobody knows any more
        items[].failed | whole? |
        items[].started_at | time? |
        items[].queues | text | separated by spaces
        leader | text? | its name
    """,
    "worker-stop": """
        stopped[] | text | that left
        finishing[] | text | that still finish what they run
        unreached[] | text | that nobody could tell
    """,
    "serve": """
        url | text | where it listens
        routes[] | text | method and path
        qrs | bool | applications may register QRs
        notices[] | text | banks whose notices are taken
    """,
    "pause": """
        paused[] | text | banks
    """,
    "resume": """
        resumed[] | text | banks
    """,
    "bank list": """
        items[].{bank}
        adapters[].name | text |
        adapters[].package | text? | that brings it, with its version
        adapters[].error | text? | why it cannot be loaded
    """,
    "bank show": "{bank}",
    "bank test": """
        bank | text |
        outcome | test outcome |
        duration_ms | whole? |
        error | text? |
    """,
    "bank limit": """
        bank | text |
        rate_per_s | number |
        concurrency | whole |
    """,
    "bank unlock": """
        bank | text |
        environment | environment |
        was_stopped | bool | false: there was nothing to do
        stopped_at | time? |
        stop_reason | text? |
    """,
    "bank simulate": """
        bank | text | its name in the settings
        settings | object | key -> value of its block
        dialects | object | the same for each adapter
    """,
    "redis status": "{embedded}",
    "redis start": "{embedded}",
    "redis stop": "{embedded}",
    "redis url": """
        url | text |
        redis_cli | text? | command line of redis-cli
        revealed | bool | with its password
        embedded | bool |
    """,
    "stats": """
        jobs | object? | null when Redis is down
        jobs.waiting | whole | due, or in a queue
        jobs.active | whole | being run
        jobs.completed | whole | kept in RQ's registry
        jobs.failed | whole | kept in RQ's registry
        jobs.delayed | whole | QRs whose time has not come
        checks_24h.ok | whole | answered
        checks_24h.failed | whole |
        checks_per_minute | number |
        oldest_due_seconds | whole |
        due | whole |
        statuses.pending | whole |
        statuses.processing | whole |
        statuses.active | whole |
        statuses.completed | whole |
        statuses.cancelled | whole |
        statuses.expired | whole |
        exhausted | whole | plans whose checks are used up
        held | whole |
        reviews_open | whole |
        workers[].name | text |
        workers[].state | text | RQ's word: idle, busy, suspended ...
        workers[].alive | bool |
        workers[].heartbeat_age_seconds | number? |
        workers[].running | whole | checks in flight
        leader | text? |
        banks[].name | text |
        banks[].open | whole | QRs that are not final
        banks[].due | whole |
        banks[].oldest_due_seconds | whole |
        banks[].last_sweep | time? |
        banks[].last_good_sweep | time? |
        banks[].sweep_error | text? |
        banks[].statuses.pending | whole |
        banks[].statuses.processing | whole |
        banks[].statuses.active | whole |
        banks[].statuses.completed | whole |
        banks[].statuses.cancelled | whole |
        banks[].statuses.expired | whole |
        banks[].exhausted | whole |
        banks[].held | whole |
        banks[].state | bank state |
        banks[].{breaker}
        banks[].rate_per_s | number? | over the last seconds
        banks[].stopped_at | time? |
        banks[].stop_reason | text? |
        banks[].paused_until | time? |
        banks[].pause_reason | text? |
        alerts.undelivered | whole | messages that some address lacks
        alerts.oldest_at | time? | when the first of them was written
        alerts.error | text? | why an address failed lately
        last_cleanup | object? | null: never
        last_cleanup.at | time? |
        last_cleanup.outcome | run outcome? |
        last_cleanup.detail | object |
        last_cleanup.running | text? | who runs one now
        redis | object? | null when it is down, or its figures are not for this user
        redis.name | text | valkey or redis
        redis.version | text? |
        redis.memory_bytes | whole? |
        redis.max_memory_bytes | whole? | 0: no limit
        redis.policy | text? | maxmemory-policy
        redis.evicted_keys | whole? |
        warnings[].code | notice code |
        warnings[].message | text |
        {where}
    """,
    "top": "",
    "health": """
        {where}
        mode | mode |
        healthy | bool |
        workers | whole? | alive
        due | whole? |
        oldest_due_seconds | number? |
        last_check_seconds | number? | since the last finished check
        findings[].{finding}
    """,
    "alert test": """
        dry_run | bool |
        items[].channel | whole | its place in PAYSYNC_ALERT_URLS
        items[].url | text | the kind of address, masked
        items[].ok | bool? | null with --dry-run
        items[].cause | text? | why it did not arrive
    """,
    "alert list": """
        items[].id | whole |
        items[].kind | alert kind |
        items[].bank | text? | null: the whole installation
        items[].count | whole | how often it came; of a state its figure
        items[].first_at | time | since when
        items[].last_at | time |
        items[].standing | bool | a state that lasts
        items[].recovered_at | time? | when it was over
        items[].delivered_at | time? | when every address had the last message about it
        items[].text | text | the alert as a sentence
        undelivered | whole | messages that some address lacks
        oldest_undelivered_at | time? |
        failing[].url | text | an address that failed lately, masked
        failing[].failures | whole | in a row
        failing[].next_try_at | time |
        failing[].error | text | why
    """,
    "audit": """
        items[].id | whole |
        items[].at | time |
        items[].who | text | user@host
        items[].action | text | what was done
        items[].object | text | on what
        items[].qr_id | text? |
        items[].bank | text? |
        items[].reason | text? |
        items[].detail | object |
        {page}
    """,
    "movements": """
        items[].id | whole |
        items[].qr_id | text |
        items[].bank | text |
        items[].environment | environment |
        items[].bank_transaction_id | text |
        items[].amount | amount |
        items[].currency | text |
        items[].account | text |
        items[].paid_at | time? | null where the bank does not tell
        items[].booked_at | time |
        items[].payer | text? |
        items[].source | source |
        items[].status | status | of the QR
        totals[].currency | text |
        totals[].count | whole |
        totals[].amount | amount |
        {page}
    """,
    "accounts": """
        items[].bank | text |
        items[].environment | environment |
        items[].account | text |
        items[].currency | text |
        items[].balance | amount | as it is kept
        items[].movements | amount | as its movements add up
        items[].difference | amount |
        differing | whole | accounts whose balance is not that sum
    """,
    "sweep": """
        booked | whole |
        banks[].bank | text |
        banks[].lists | bool | false: it has no day list
        banks[].error | text? |
        banks[].days[].day | day |
        banks[].days[].listed | whole | payments on the list
        banks[].days[].booked | whole |
        banks[].days[].reviews | whole | opened
        banks[].days[].complete | bool | the day is over at the bank
    """,
    "reconcile": """
        matched | whole | booked on both sides
        missing_here | whole | listed, not booked
        missing_there | whole | booked, not listed
        differing | whole | other amount or currency
        unknown | whole | of QRs that are not registered
        unreadable | whole |
        complete | bool | every list is whole and its day over
        matched_totals | amounts |
        fixed | bool | --fix was given
        booked | whole | by --fix
        reviews_opened | whole | by --fix
        items[].kind | difference |
        items[].bank | text |
        items[].environment | environment |
        items[].day | day |
        items[].qr_id | text |
        items[].bank_transaction_id | text? |
        items[].amount | amount? | the bank's
        items[].currency | text? | the bank's
        items[].booked_amount | amount? | ours
        items[].booked_currency | text? | ours
        items[].paid_at | time? |
        items[].payer | text? |
        items[].status | status? | of the QR
        items[].problem | text? | why it cannot be read
        items[].review_id | whole? |
        items[].review_state | review state? |
        banks[].bank | text |
        banks[].environment | environment |
        banks[].day | day |
        banks[].lists | bool | false: it has no day list
        banks[].complete | bool |
        banks[].whole | bool | every page of the list came
        banks[].matched | whole |
        banks[].missing_here | whole |
        banks[].missing_there | whole |
        banks[].differing | whole |
        banks[].unknown | whole |
        banks[].unreadable | whole |
        banks[].matched_totals | amounts |
        banks[].foreign_qrs | foreign |
        banks[].booked | whole |
        banks[].reviews_opened | whole |
        banks[].error | text? |
    """,
    "review list": """
        items[].{review}
        {page}
    """,
    "review show": """
        {review}
        qr | object? | null when it is not registered
        qr.status | status |
        qr.amount | amount? |
        qr.currency | text |
        qr.paid | amount |
        qr.account | text |
        qr.plan_state | plan state |
    """,
    "review resolve": """
        id | whole |
        outcome | resolve outcome |
        status_before | status? | of the QR
        status | status? | of the QR, now
        review.{review}
    """,
    "failed": """
        items[].job_id | text |
        items[].qr_id | text? | null: it names no QR of ours
        items[].{qr now or unknown}
        items[].failed_at | time? |
        items[].error | text? | its first line
        items[].queue | text? |
        total | whole | failed jobs in all
        {page}
        groups[].error | text? | with --group-by; null: all others
        groups[].jobs | whole |
        groups[].newest_at | time? |
        groups[].oldest_at | time? |
        groups[].qr_id | text? | the newest one's
        groups[].bank | text? |
        jobs | whole | with --group-by: in these groups
    """,
    "retry": """
        matched | whole |
        retried | whole | asked now
        under_way | whole | queued or due already
        final | whole | nothing is asked any more
        held | whole |
        vanished | whole | somebody else removed the job meanwhile
        no_row | whole | names no QR of this database
        not_failed | whole | was named and has no failed job
        not_found | whole | was named and nobody knows it
        dry_run | bool |
        items[].qr_id | text? |
        items[].outcome | retry outcome |
        items[].job_id | text? |
        items[].error | text? |
        items[].{qr now or unknown}
        items_cut | whole | items that are not listed
    """,
    "purge": """
        matched | whole |
        removed | whole | 0 with --dry-run
        kept | whole | by --keep
        dry_run | bool |
        kinds.completed.{tally}
        kinds.completed.kept | whole |
        kinds.failed.{tally}
        kinds.failed.kept | whole |
    """,
    "cleanup": """
        skipped | bool | another one runs (--skip-if-locked)
        dry_run | bool |
        checks | object? | check records of final QRs
        checks.{tally}
        completed | object? | jobs; null when Redis is not at hand
        completed.{tally}
        failed | object? | jobs; null when Redis is not at hand
        failed.{tally}
        orphans | object? | lost checks, planned again
        orphans.{tally}
        alerts | object? | alerts that are long over
        alerts.{tally}
        at | time? | with --status: of the last run
        outcome | run outcome? | with --status
        removed | object | with --status: what went
        running | text? | with --status: who runs one now
    """,
    "db current": "{schema}",
    "db upgrade": "{schema}",
    "completion": """
        shell | text | bash, zsh or fish
        script | text |
    """,
}


def keys(command: str) -> list[tuple[str, str, str]]:
    """Path, what it holds and in words, of each key of a command's `data`."""
    return list(_expanded(DOCUMENTS[command], ""))


def _expanded(block: str, before: str) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    for line in filter(None, map(str.strip, block.splitlines())):
        if line.endswith("}"):
            prefix, _brace, name = line[:-1].partition("{")
            found += _expanded(_BLOCKS[name], before + prefix)
        else:
            path, holds, about = (part.strip() for part in line.split("|"))
            found.append((before + path, holds, about))
    return found
