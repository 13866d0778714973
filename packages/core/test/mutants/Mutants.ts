/**
 * Single-point changes of the engine, each of which breaks a rule that the tests hold it to: `npm run test:mutants` plants one after the
 * other and requires that a test fails.
 *
 * The rules are those of OTP by their numbers (`V-1` … `K-7`, traps `T-1` … `T-9`), the laws of the house, or words of the documentation.
 */

/** One change. `before` occurs once in `file`. */
export interface Mutant {
  readonly id: string
  /** From the root of the checkout. */
  readonly file: string
  readonly before: string
  readonly after: string
  /** The rule that it breaks. */
  readonly why: string
}

/** The source with the mutant in it. Throws where the mutant no longer fits. */
export const apply = ({ after, before, file, id }: Mutant, source: string): string => {
  const found = source.split(before).length - 1
  if (found === 1) return source.replace(before, () => after)
  throw new Error(
    `the mutant "${id}" is stale: what it replaces occurs ${found} times in ${file}, and must occur once. ` +
      "The engine has changed there: write the mutant anew in packages/core/test/mutants/Mutants.ts"
  )
}

type Change = Omit<Mutant, "file">

const of = (file: string, changes: ReadonlyArray<Change>): ReadonlyArray<Mutant> =>
  changes.map((change) => ({ ...change, file: `packages/core/src/${file}` }))

export const mutants: ReadonlyArray<Mutant> = [
  ...of("MonotonicClock.ts", [
    {
      id: "wall-clock-spends-the-budget",
      before: "this.millis = this.epoch + monotonicMillis(this.clock)",
      after: "this.millis = wall",
      why: "I-1: the window is monotonic"
    }
  ]),
  ...of("internal/outcome.ts", [
    {
      id: "escalation-forgets-who-escalated",
      before: "[...escalation.escalated, escalation.path]",
      after: "escalation.escalated",
      why: "law 5: GaveUp names the supervisors between"
    },
    {
      id: "escalation-blames-the-supervisor",
      before: "? escalation.because\n",
      after: "? { path: at, error: escalation }\n",
      why: "law 5: GaveUp carries the path and the error of the leaf"
    },
    {
      id: "start-failure-blames-the-supervisor",
      before: "isBelow(error.at.path, `${path}/${child}`)",
      after: "isBelow(`${path}/${child}`, error.at.path)",
      why: "S-7: a nested start failure keeps the inner reason and path"
    },
    {
      id: "foreign-tree-is-taken-for-its-own",
      before: "inner instanceof SupervisorError.GaveUp && inner.path === at",
      after: "inner instanceof SupervisorError.GaveUp",
      why: "law 5: the error of a supervisor that a plain child runs is that child's own"
    },
    {
      id: "monitor-error-passes-undeclared",
      before: "reason.foreign === true ?",
      after: "reason.foreign === undefined ?",
      why: "law 5: what a monitor said is no error that the child declares"
    }
  ]),
  ...of("internal/Graces.ts", [
    {
      id: "one-grace-for-all",
      before: "this.byEnd.get(end)",
      after: "this.byEnd.values().next().value",
      why: "E-5: one timer for each distinct shutdown value"
    }
  ]),
  ...of("internal/Mailbox.ts", [
    {
      id: "mailbox-last-in-first-out",
      before: "mailbox.mails[mailbox.head++]!",
      after: "mailbox.mails.pop()!",
      why: "X-12: what waits is handled strictly in the order of its arrival"
    }
  ]),
  ...of("SupervisorMachine.ts", [
    {
      id: "fail-outlives-its-generation",
      before: "{ ...event, generation: child.generation }, child)",
      after: "event, child)",
      why: "failChild means the generation that ran when it was called, also when it has to wait"
    },
    {
      id: "abandon-untold",
      before: "if (graceMillis === undefined) return\n  out.push",
      after: "if (graceMillis !== undefined) return\n  out.push",
      why: "law 8: a child that is left behind is told as such, and only such a child"
    },
    {
      id: "news-reaches-a-namesake",
      before: "if (about === undefined || state.children.get(about.id) === about) apply",
      after: "if (about === undefined || state.children.has(about.id)) apply",
      why: "news of a forgotten child is void, also when a new one has its id"
    },
    {
      id: "start-cut-short-unanswered",
      before: "if (child.status._tag === \"Starting\" && child.status.askedBy !== undefined) {\n",
      after: "if (child.status._tag === \"Running\" && child.status.askedBy !== undefined) {\n",
      why: "a call whose start is cut short is answered"
    },
    {
      id: "start-collapsed-unanswered",
      before: "child.status.askedBy !== undefined) reply(step, child.status.askedBy, Reply.Stopping())",
      after: "child.status.askedBy === undefined) reply(step, 0, Reply.Stopping())",
      why: "a supervisor that dies at once answers whoever asked it for a start"
    },
    {
      id: "strategy-changes-under-a-recovery",
      before: "(state.recoveries > 0 || state.gathering.size > 0) && change.strategy",
      after: "state.gathering.size > 0 && change.strategy",
      why: "a recovery keeps the strategy that it began with"
    },
    {
      id: "strategy-changes-under-pending-exits",
      before: "(state.recoveries > 0 || state.gathering.size > 0) && change.strategy",
      after: "state.recoveries > 0 && change.strategy",
      why: "exits that are pending together are decided on by the strategy that they met"
    },
    {
      id: "delay-outlives-its-recovery",
      before: "if (due !== undefined && due > now) out",
      after: "if (due !== undefined && due < now) out",
      why: "S-8: a delay that was called off leaves no timer"
    },
    {
      id: "shutdown-jumps-the-queue",
      before: "return state.semantics.serve !== \"always\" && state.phase._tag === \"Running\"\n",
      after: "return false\n",
      why: "X-11: the parent's exit waits its turn, as in a gen_server"
    },
    {
      id: "temporary-stays-with-its-group",
      before: `child.facts.restart === "temporary" && state.semantics.revive) forget`,
      after: `child.facts.restart === "permanent" && state.semantics.revive) forget`,
      why: "G-4: a group restart removes temporary children, those that were never started too"
    },
    {
      id: "killed-supervisor-answers",
      before: "for (const token of child.waiters.splice(0)) reply(step, token, Reply.Stopping())",
      after: "for (const token of child.waiters.splice(0)) reply(step, token, Reply.Done({ generation: 0 }))",
      why: "A-29: a call to a supervisor that was killed fails"
    },
    {
      id: "boot-begins-at-the-last",
      before: "state.cursor = state.order.first\n",
      after: "state.cursor = state.order.last\n",
      why: "S-1: children start in list order, from the first on"
    },
    {
      id: "boot-starts-all-at-once",
      before: "    if (!state.dynamic) {\n      state.cursor = child\n      return",
      after: "    if (state.dynamic) {\n      state.cursor = child\n      return",
      why: "S-1: a start call returns before the next begins; those of a dynamic supervisor run together"
    },
    {
      id: "boot-passes-a-child-that-starts",
      before: "if (isBusy(child.status) && !state.dynamic) return",
      after: "if (isBusy(child.status) && state.dynamic) return",
      why: "S-1: no child starts before the one before it has acknowledged, whatever else is asked meanwhile"
    },
    {
      id: "boot-restarts-who-was-terminated",
      before: `child.status._tag !== "Down" || child.status.why !== "not started"`,
      after: `child.status._tag !== "Down"`,
      why: "A-31: a child that was terminated before its turn is not started"
    },
    {
      id: "dynamic-boot-is-early",
      before: "if (state.dynamic && state.busy > 0) return",
      after: "if (state.dynamic && state.busy > 1) return",
      why: "a dynamic supervisor has started when its last child has acknowledged"
    },
    {
      id: "boot-retries-a-failed-start",
      before: `if (state.phase._tag === "Booting") {\n    setDown`,
      after: `if (state.phase._tag === "Booting" && state.dynamic) {\n    setDown`,
      why: "S-6: the first failure during the boot is final"
    },
    {
      id: "serves-while-one-is-busy",
      before: "|| busy === 0)",
      after: "|| busy <= 1)",
      why: "serve: between operations means that no child starts or stops"
    },
    {
      id: "exit-handled-during-boot",
      before: `&& (state.phase._tag === "Booting" || state.semantics.serve !== "always")`,
      after: `&& state.semantics.serve !== "always"`,
      why: "an exit that comes during the boot waits until all children are up"
    },
    {
      id: "fail-handled-during-boot",
      before: `return state.phase._tag === "Booting" || state.semantics.serve`,
      after: "return state.semantics.serve",
      why: "failChild during the boot waits until all children are up"
    },
    {
      id: "fail-hits-any-generation",
      before: "if (generation !== undefined && child?.generation !== generation) return\n",
      after: "",
      why: "failChild means the generation that ran when it was called"
    },
    {
      id: "late-reports-count",
      before: "child?.generation === event.generation && child.status._tag === status",
      after: "child?.status._tag === status",
      why: "a late report about an earlier generation moves nothing"
    },
    {
      id: "calls-after-the-end-unanswered",
      before: `if ("token" in event) out.push`,
      after: `if ("token" in event && event._tag !== "StartChild") out.push`,
      why: "A-29: a call to a supervisor that has ended fails, and does not wait for ever"
    },
    {
      id: "temporary-spec-stays",
      before: `if (child.facts.restart === "temporary" || step.state.dynamic) forget`,
      after: "if (step.state.dynamic) forget",
      why: "A-32: the spec of a temporary child vanishes on any ending"
    },
    {
      id: "dynamic-spec-stays",
      before: `if (child.facts.restart === "temporary" || step.state.dynamic) forget`,
      after: `if (child.facts.restart === "temporary") forget`,
      why: "A-24: a dynamic child that is down is forgotten, and its key is free"
    },
    {
      id: "stop-loses-its-place",
      before: `state.phase._tag === "Booting" ? child.after : child.before`,
      after: "child.after",
      why: "D-6: a stop goes on before a child that it forgets"
    },
    {
      id: "boot-loses-its-place",
      before: `state.phase._tag === "Booting" ? child.after : child.before`,
      after: "child.before",
      why: "S-1: a boot goes on behind a child that it forgets"
    },
    {
      id: "recovery-loses-its-place",
      before: `recovery.cursor = recovery.stage === "stopping" ? child.before : child.after`,
      after: `recovery.cursor = recovery.stage === "stopping" ? child.after : child.before`,
      why: "G-4: a temporary sibling that is forgotten does not end the stop of its group"
    },
    {
      id: "ignored-temporary-is-forgotten-when-asked-for",
      before: `child.facts.restart !== "temporary" || isNew === "asked for again"`,
      after: `child.facts.restart !== "temporary"`,
      why: "S-4, as OTP 25 does it: a temporary child keeps its spec when a restart that was asked for is ignored"
    },
    {
      id: "ignored-dynamic-is-kept",
      before: "? !isNew && state.semantics.ignoredInstance",
      after: "? state.semantics.ignoredInstance",
      why: "S-4: a dynamic supervisor keeps nothing of a child that ignores its first start"
    },
    {
      id: "ignoring-ends-the-recovery",
      before: "recovery.cursor === child) recovery.cursor = nextVictim(state, child)",
      after: "recovery.cursor === child) recovery.cursor = undefined",
      why: "G-11: an ignored restart counts as a success, and the group goes on"
    },
    {
      id: "failed-addition-stays",
      before: "if (added || state.dynamic) forget",
      after: "if (state.dynamic) forget",
      why: "A-21: start_child that fails leaves no spec"
    },
    {
      id: "heal-inverted",
      before: "if (state.semantics.heal) {",
      after: "if (!state.semantics.heal) {",
      why: "T-1: victims are stranded without heal, and come up with it"
    },
    {
      id: "retry-finds-anybody",
      before: `return status?._tag === "Waiting" ? recover(step`,
      after: `return status?._tag !== "Starting" ? recover(step`,
      why: "G-10: a retry that finds its child no longer restarting is dropped"
    },
    {
      id: "failed-restart-counted-in-its-turn",
      before: `if (state.semantics.delay === "policy") return callForRestart`,
      after: `if (state.semantics.delay !== "policy") return callForRestart`,
      why: "T-8: OTP counts a failed start when it is tried again, behind what waits; production when it fails"
    },
    {
      id: "failed-temporary-is-terminated",
      before: `return void stop(step, child, { _tag: "Leave", reason })`,
      after: `return void stop(step, child, { _tag: "StayDown" })`,
      why: "failChild passes the restart table: a temporary child that is failed has ended, and is told as left"
    },
    {
      id: "fail-of-one-that-has-ended",
      before: "|| child.ended ||",
      after: "||",
      why: "exit(Pid, Reason) to a process that has ended does nothing more"
    },
    {
      id: "one-for-one-coalesces",
      before: `if (state.strategy === "one_for_one" || !state.semantics.coalesce)`,
      after: "if (!state.semantics.coalesce)",
      why: "I-8: three crashes at once count three under one_for_one"
    },
    {
      id: "victims-exits-count",
      before: "isVictim(state, state.recovery, child)) return advance",
      after: "!isVictim(state, state.recovery, child)) return advance",
      why: "I-8: the exit of a victim that is about to be stopped is part of that stop"
    },
    {
      id: "coalesced-from-the-last",
      before: "child.position < origin.position) origin",
      after: "child.position > origin.position) origin",
      why: "T-6: of exits that are pending together the first in start order decides"
    },
    {
      id: "any-exit-ends-auto-shutdown",
      before: "  if (child.facts.significant) {",
      after: `  if (state.phase._tag === "Running") {`,
      why: "K-3: the end of a child that is not significant ends nothing"
    },
    {
      id: "any-significant-waits-for-all",
      before: `autoShutdown === "any" || (`,
      after: `autoShutdown !== "never" && (`,
      why: "K-2: any_significant ends the supervisor at the first"
    },
    {
      id: "all-significant-is-early",
      before: "significantLeft === 0)\n\n// ── recovery",
      after: "significantLeft <= 1)\n\n// ── recovery",
      why: "K-2: all_significant waits for the last"
    },
    {
      id: "budget-one-short",
      before: "if (!verdict.allowed) {",
      after: "if (!verdict.allowed || verdict.left === 0) {",
      why: "I-1: as many restarts as the intensity says are granted"
    },
    {
      id: "incident-begins-anew",
      before: "const incident = before?.incident ?? ownIncident",
      after: "const incident = ownIncident",
      why: "law 8: the exits of one recovery share an incident"
    },
    {
      id: "group-stops-only-the-origin",
      before: "cursor: isGroup ? state.order.last : child",
      after: "cursor: child",
      why: "G-2, G-3: the siblings after the ended child are stopped, the last first"
    },
    {
      id: "wider-recovery-forgets-its-first",
      before: "first.position < child.position ? first : child",
      after: "first.position > child.position ? first : child",
      why: "G-9: a recovery that replaces another keeps the earliest victim of both"
    },
    {
      id: "whole-group-is-touched-again",
      before: `before.stage === "starting" ? before.cursor ?? child : before.from`,
      after: "before.from",
      why: "G-9: under rest_for_one a retry restarts nobody twice who is up again"
    },
    {
      id: "ended-siblings-told-as-victims",
      before: "child !== recovery.origin && isUp(child) && !child.ended",
      after: "child !== recovery.origin && isUp(child)",
      why: "law 8: the victims told are those that are taken down, not who had ended"
    },
    {
      id: "delay-from-the-answer",
      before: "recovery.due = recovery.decidedAt + delayMillis",
      after: "recovery.due = now + delayMillis",
      why: "the delay counts from the exit, however long its schedule takes to answer"
    },
    {
      id: "timer-for-no-delay",
      before: "if (recovery.due > now) {",
      after: "if (recovery.due >= now) {",
      why: "no delay means no timer"
    },
    {
      id: "timer-read-by-the-clock",
      before: "asked.recovery.due = step.now // the timer decides: a clock of whole milliseconds may still read one less\n",
      after: "",
      why: "a timer that fires while the clock reads one millisecond less starts the child all the same"
    },
    {
      id: "refusal-is-lost",
      before: "refusal: { error }, incident",
      after: "refusal: undefined, incident",
      why: "law 5: giving up carries the error with which the delay refused"
    },
    {
      id: "recovery-goes-on-while-gathering",
      before: " || state.gathering.size > 0) return",
      after: ") return",
      why: "T-6: nothing is started while exits that are pending together are gathered"
    },
    {
      id: "group-starts-all-at-once",
      before: "    if (isBusy(child.status)) return\n",
      after: `    if (child.status._tag === "Stopping") return\n`,
      why: "G-2: restarted children are started in order, each acknowledged before the next"
    },
    {
      id: "delay-cut-short",
      before: "if (recovery.due === undefined || now < recovery.due) return",
      after: "if (recovery.due === undefined) return",
      why: "a restart waits for its delay, also when its victims take time to stop"
    },
    {
      id: "recovery-untold",
      before: `if (status._tag !== "Running") return\n`,
      after: `if (status._tag === "Running") return\n`,
      why: "law 8: a recovery that brought its origin back is told"
    },
    {
      id: "failed-child-not-awaited",
      before: `  if (recovery.origin.status._tag === "Stopping") return false // a child that is being failed goes first\n`,
      after: "",
      why: "a child that is being failed is down before its siblings are stopped"
    },
    {
      id: "group-stopped-all-at-once",
      before: `if (isUp(child) && !stop(step, child, { _tag: "Recover" })) return false`,
      after: `if (isUp(child)) stop(step, child, { _tag: "Recover" })`,
      why: "D-6: victims are stopped one after the other, the last first"
    },
    {
      id: "down-siblings-are-forgotten",
      before: `child.status._tag === "Down" && child.facts.restart === "temporary" && state.semantics.revive`,
      after: `child.status._tag === "Down" && state.semantics.revive`,
      why: "G-6: only temporary siblings go with a group restart"
    },
    {
      id: "down-temporary-is-revived",
      before: `child.status._tag === "Down" && child.facts.restart === "temporary" && state.semantics.revive`,
      after: `child.status._tag === "Starting" && child.facts.restart === "temporary" && state.semantics.revive`,
      why: "G-4: a temporary sibling is removed by a group restart, never started"
    },
    {
      id: "stranded-stay-stranded",
      before: `(semantics.revive || status.why === "stranded")`,
      after: "semantics.revive",
      why: "T-1: what is stranded comes up with the next restart of its group, also where nobody else is revived"
    },
    {
      id: "one-for-all-is-rest-for-one",
      before: `case "one_for_all":\n      return true`,
      after: `case "one_for_all":\n      return child.position >= recovery.from.position`,
      why: "G-2: one_for_all takes along those before the ended child"
    },
    {
      id: "rest-for-one-takes-those-before",
      before: "child.position >= recovery.from.position",
      after: "child.position <= recovery.from.position",
      why: "G-3: rest_for_one takes along those started after the ended child"
    },
    {
      id: "one-for-all-starts-from-the-origin",
      before: `if (state.strategy === "one_for_all") return state.order.first`,
      after: `if (state.strategy === "one_for_all") return recovery.from`,
      why: "G-2: one_for_all starts all children, in start order"
    },
    {
      id: "one-for-one-starts-its-neighbours",
      before: `state.strategy === "one_for_one" ? undefined : child.after\n`,
      after: "child.after\n",
      why: "G-1: one_for_one starts the ended child and nobody else"
    },
    {
      id: "ended-child-is-stopped-again",
      before: "  if (child.ended) {",
      after: `  if (child.ended && then._tag !== "Recover") {`,
      why: "a victim that has ended already is not stopped once more"
    },
    {
      id: "temporary-victim-comes-back",
      before: `if (then._tag !== "Recover" || child.facts.restart === "temporary") return`,
      after: `if (then._tag !== "Recover") return`,
      why: "G-4: a temporary sibling is never restarted"
    },
    {
      id: "terminated-victim-comes-back",
      before: `then: { _tag: "StayDown" } })\n  if (status._tag === "Waiting")`,
      after: `then: status.then })\n  if (status._tag === "Waiting")`,
      why: "A-31: a victim that is terminated while it stops stays down"
    },
    {
      id: "termination-ends-auto-shutdown",
      before: "if (state.significantEnded && state.significantLeft === 0)",
      after: "if (state.significantLeft === 0)",
      why: "K-3: terminating a significant child ends nothing by itself"
    },
    {
      id: "second-ending-wins",
      before: `if (state.phase._tag === "Stopping" || state.phase._tag === "Ended") return\n`,
      after: `if (state.phase._tag === "Ended") return\n`,
      why: "a supervisor that is ending has one outcome, its first"
    },
    {
      id: "stop-begins-at-the-first",
      before: "state.cursor = state.order.last\n",
      after: "state.cursor = state.order.first\n",
      why: "D-6: children are stopped in reverse start order"
    },
    {
      id: "stop-all-at-once",
      before: `!stop(step, child, { _tag: "StayDown" }) && !state.dynamic) return`,
      after: `!stop(step, child, { _tag: "StayDown" }) && state.dynamic) return`,
      why: "D-6, D-7: a static supervisor stops one after the other, a dynamic one all at once"
    },
    {
      id: "end-is-early",
      before: "if (state.busy === 0) end(step)",
      after: "if (state.busy <= 1) end(step)",
      why: "A-30: a supervisor has ended when its last child is down"
    },
    {
      id: "ghost-is-harmless",
      before: `  if (state.ghost !== undefined) return collapse(step, { _tag: "Crashed", child: state.ghost.id })\n`,
      after: "",
      why: "OTP before 28 dies of a dynamic child that ignored its restart"
    },
    {
      id: "killed-children-live-on",
      before: `if (isUp(child) || child.status._tag === "Stopping") out.push({ _tag: "Kill"`,
      after: `if (child.status._tag === "Stopping") out.push({ _tag: "Kill"`,
      why: "law 4: a supervisor that is killed leaves no child behind"
    },
    {
      id: "significant-permanent-is-added",
      before: `(state.autoShutdown === "never" || facts.restart === "permanent")`,
      after: `state.autoShutdown === "never"`,
      why: "V-9: significant and permanent is a bad combination"
    },
    {
      id: "significant-without-use-is-added",
      before: `(state.autoShutdown === "never" || facts.restart === "permanent")`,
      after: `facts.restart === "permanent"`,
      why: "V-9: significant under auto-shutdown never is a bad combination"
    },
    {
      id: "one-child-too-many",
      before: "if (state.children.size >= state.maxChildren)",
      after: "if (state.children.size > state.maxChildren)",
      why: "E-3: no more than max_children"
    },
    {
      id: "addition-in-the-midst-of-a-recovery",
      before: `if (state.recovery !== undefined) return void state.afterRecovery.push({ _tag: "StartChild", child: facts, token })\n`,
      after: "",
      why: "a child is added once the group is whole again"
    },
    {
      id: "running-child-is-restarted",
      before: `  if (status._tag !== "Down") return reply(step, token, Reply.Present({ status: status._tag }))`,
      after: `  if (status._tag === "Running") return reply(step, token, Reply.Present({ status: status._tag }))`,
      why: "A-6 … A-10: restart_child of a child that is restarting is refused"
    },
    {
      id: "restart-in-the-midst-of-a-recovery",
      before: `if (state.recovery !== undefined) return void state.afterRecovery.push({ _tag: "RestartChild", id, token })\n`,
      after: "",
      why: "a child is restarted by its operator once the group is whole again"
    },
    {
      id: "terminated-retry-blocks-its-group",
      before: "recovery.due = step.now // its retry will find nobody",
      after: "recovery.due = undefined",
      why: "T-1: with heal the siblings of a child that was terminated before its retry come up"
    },
    {
      id: "restarting-child-is-deleted",
      before: `if (child.status._tag !== "Down") return reply(step, token, Reply.Present({ status: child.status._tag }))`,
      after: `if (child.status._tag === "Running") return reply(step, token, Reply.Present({ status: child.status._tag }))`,
      why: "A-16 … A-20: delete_child of a child that is restarting is refused"
    },
    {
      id: "limit-does-not-change",
      before: "  state.window.limit = change.limit\n",
      after: "",
      why: "C-2: flags are replaced"
    },
    {
      id: "unlisted-children-come-first",
      before: "children.push(...before.filter",
      after: "children.unshift(...before.filter",
      why: "C-5: specs that are listed no more come after the listed ones"
    },
    {
      id: "spec-does-not-change",
      before: "  child.facts = facts\n",
      after: "",
      why: "C-3: a spec with a known id replaces the old one"
    },
    {
      id: "significance-miscounted",
      before: `if (status._tag !== "Down") state.significantLeft += (facts.significant`,
      after: `if (status._tag === "Down") state.significantLeft += (facts.significant`,
      why: "K-7: significance that changes is respected at the next end"
    },
    {
      id: "order-changes-under-a-recovery",
      before: "if (state.recovery !== undefined) walkAnew(state, state.recovery)\n",
      after: "",
      why: "C-5: a group whose order changes in the midst of its recovery is whole again afterwards"
    }
  ]),
  ...of("Intensity.ts", [
    {
      id: "budget-one-less",
      before: "allowed: used <= window.limit.maxRestarts",
      after: "allowed: used < window.limit.maxRestarts",
      why: "I-1: gives up when more than intensity restarts are in the window"
    },
    {
      id: "window-one-millisecond-longer",
      before: "? time + withinMillis :",
      after: "? time + withinMillis + 1 :",
      why: "the window is exact to the millisecond"
    },
    {
      id: "otp-window-without-its-bound",
      before: "Math.floor(withinMillis / 1000) + 1) * 1000",
      after: "Math.floor(withinMillis / 1000)) * 1000",
      why: "T-7: OTP's window of whole seconds has an inclusive bound"
    },
    {
      id: "otp-window-in-milliseconds",
      before: "(Math.floor(time / 1000) +",
      after: "(time / 1000 +",
      why: "T-7: OTP reads a clock of whole seconds"
    },
    {
      id: "compaction-loses-a-restart",
      before: "    window.head = 0\n",
      after: "    window.head = 1\n",
      why: "I-1: every restart inside the window counts"
    },
    {
      id: "left-counts-what-expired",
      before: "window.times.length - firstAlive(window, window.limit.withinMillis, now)",
      after: "window.times.length - window.head",
      why: "the budget left counts what is inside the window now"
    },
    {
      id: "budget-is-free-too-early",
      before: "const index = window.times.length - 1 - (maxRestarts - left)",
      after: "const index = window.times.length - 2 - (maxRestarts - left)",
      why: "freeAt names the very millisecond at which the budget is free"
    }
  ]),
  ...of("RestartType.ts", [
    {
      id: "permanent-may-end",
      before: `case "permanent":\n      return "restart"`,
      after: `case "permanent":\n      return isAbnormal(reason) ? "restart" : "leave"`,
      why: "X-1 … X-3: a permanent child is restarted whatever its reason"
    },
    {
      id: "transient-is-temporary",
      before: "return isAbnormal(reason) && !(",
      after: "return !isAbnormal(reason) && !(",
      why: "X-4 … X-6: a transient child is restarted after abnormal reasons only"
    },
    {
      id: "temporary-is-permanent",
      before: `case "temporary":\n      return "leave"`,
      after: `case "temporary":\n      return "restart"`,
      why: "X-7 … X-9: a temporary child is never restarted"
    },
    {
      id: "giving-up-is-abnormal-in-otp",
      before: `isAbnormal(reason) && !(giveUp === "shutdown" && isGaveUp(reason))`,
      after: "isAbnormal(reason)",
      why: "I-7: a transient supervisor that gave up stays down in OTP"
    },
    {
      id: "any-failure-is-a-shutdown",
      before: `!(giveUp === "shutdown" && isGaveUp(reason))`,
      after: `giveUp !== "shutdown"`,
      why: "I-7: only giving up is a shutdown, not what a child failed with"
    }
  ]),
  ...of("ExitReason.ts", [
    {
      id: "shutdown-is-abnormal",
      before: `reason._tag !== "Normal" && reason._tag !== "Shutdown"`,
      after: `reason._tag !== "Normal"`,
      why: "1.1: shutdown is a clean reason"
    }
  ]),
  ...of("RestartPolicy.ts", [
    {
      id: "backoff-is-never-over",
      before: "if (now - last >= policy.resetAfterMillis) beginAnew()",
      after: "if (now - last > policy.resetAfterMillis) beginAnew()",
      why: "the delay starts over after resetAfter without a crash, to the millisecond"
    },
    {
      id: "backoff-counts-from-the-first-crash",
      before: "    last = now\n    keep",
      after: "    last = last === Number.NEGATIVE_INFINITY ? now : last\n    keep",
      why: "resetAfter counts from the last crash"
    },
    {
      id: "backoff-never-begins",
      before: "    step = current\n    restarts++",
      after: "    restarts++",
      why: "the delay of one restart goes on from the one before"
    },
    {
      id: "reset-keeps-its-step",
      before: "    step = undefined\n    restarts = 0",
      after: "    restarts = 0",
      why: "the delay starts over after resetAfter"
    },
    {
      id: "unlimited-gives-up",
      before: `if (policy.limit !== "unlimited") return Effect.fail`,
      after: `if (policy.limit === "unlimited") return Effect.fail`,
      why: "law 5: unlimited intensity never gives up when its delay ends, a limited one does"
    },
    {
      id: "reset-after-a-minute",
      before: "      : limit.withinMillis\n",
      after: "      : 60_000\n",
      why: "resetAfter is the window by default"
    },
    {
      id: "delay-without-cap",
      before: `Schedule.spaced("5 seconds")`,
      after: `Schedule.spaced("5 hours")`,
      why: "the default delay is capped at five seconds"
    }
  ]),
  ...of("Semantics.ts", [
    {
      id: "otp-window",
      before: `  window: "whole seconds"`,
      after: `  window: "milliseconds"`,
      why: "T-7: the window of whole seconds, or of milliseconds: otp is the first"
    },
    {
      id: "otp-delay",
      before: `  delay: "none"`,
      after: `  delay: "policy"`,
      why: "T-8: no delay and a retry behind what waits, or the delay of the policy: otp is the first"
    },
    {
      id: "otp-serve",
      before: `  serve: "between operations"`,
      after: `  serve: "always"`,
      why: "S-9: busy while a child starts or stops, or not: otp is the first"
    },
    {
      id: "otp-coalesce",
      before: "  coalesce: false",
      after: "  coalesce: true",
      why: "T-6: exits that are pending together count each, or once: otp is the first"
    },
    {
      id: "otp-revive",
      before: "  revive: true",
      after: "  revive: false",
      why: "T-9: children that the operator stopped come back with their group, or stay down: otp is the first"
    },
    {
      id: "otp-heal",
      before: "  heal: false",
      after: "  heal: true",
      why: "T-1: the siblings of a child terminated in mid-restart are stranded, or come up: otp is the first"
    },
    {
      id: "otp-auto-shutdown",
      before: `  autoShutdown: "own endings"`,
      after: `  autoShutdown: "every change"`,
      why: "T-2, T-4: terminations and ignored restarts are passed over, or looked at: otp is the first"
    },
    {
      id: "otp-give-up",
      before: `  giveUp: "shutdown"`,
      after: `  giveUp: "abnormal"`,
      why: "I-7: giving up is a shutdown, or abnormal: otp is the first"
    },
    {
      id: "otp-ignored-instance",
      before: `  ignoredInstance: "keep"`,
      after: `  ignoredInstance: "drop"`,
      why: "G-11: a dynamic child that ignores its restart is kept, or dropped: otp is the first"
    },
    {
      id: "production-window",
      before: `  window: "milliseconds"`,
      after: `  window: "whole seconds"`,
      why: "T-7: the window of whole seconds, or of milliseconds: production is the second"
    },
    {
      id: "production-delay",
      before: `  delay: "policy"`,
      after: `  delay: "none"`,
      why: "T-8: no delay and a retry behind what waits, or the delay of the policy: production is the second"
    },
    {
      id: "production-serve",
      before: `  serve: "always"`,
      after: `  serve: "between operations"`,
      why: "S-9: busy while a child starts or stops, or not: production is the second"
    },
    {
      id: "production-coalesce",
      before: "  coalesce: true",
      after: "  coalesce: false",
      why: "T-6: exits that are pending together count each, or once: production is the second"
    },
    {
      id: "production-revive",
      before: "  revive: false",
      after: "  revive: true",
      why: "T-9: children that the operator stopped come back with their group, or stay down: production is the second"
    },
    {
      id: "production-heal",
      before: "  heal: true",
      after: "  heal: false",
      why: "T-1: the siblings of a child terminated in mid-restart are stranded, or come up: production is the second"
    },
    {
      id: "production-auto-shutdown",
      before: `  autoShutdown: "every change"`,
      after: `  autoShutdown: "own endings"`,
      why: "T-2, T-4: terminations and ignored restarts are passed over, or looked at: production is the second"
    },
    {
      id: "production-give-up",
      before: `  giveUp: "abnormal"`,
      after: `  giveUp: "shutdown"`,
      why: "I-7: giving up is a shutdown, or abnormal: production is the second"
    },
    {
      id: "production-ignored-instance",
      before: `  ignoredInstance: "drop"`,
      after: `  ignoredInstance: "keep"`,
      why: "G-11: a dynamic child that ignores its restart is kept, or dropped: production is the second"
    }
  ]),
  ...of("internal/ChildOrder.ts", [
    {
      id: "positions-are-equal",
      before: "last.position + 1",
      after: "last.position",
      why: "G-5: after means start order, with children added later last"
    },
    {
      id: "last-child-is-lost",
      before: "if (after === undefined) order.last = before",
      after: "if (after === undefined) order.last = after",
      why: "start order outlives the removal of the last child"
    },
    {
      id: "neighbour-keeps-the-removed",
      before: "else after.before = before",
      after: "else after.before = child",
      why: "a child that was removed is not met on the way back"
    }
  ]),
  ...of("internal/interpreter.ts", [
    {
      id: "change-lost-with-a-restart",
      before: "parent.root?.changed.get(path) ?? spec",
      after: "spec",
      why: "a supervisor that was changed is restarted as what it was changed to"
    },
    {
      id: "terminated-child-reported-as-failed",
      before: `starting ? "ChildStartFailed" : "ChildExited"`,
      after: `starting ? "ChildExited" : "ChildStartFailed"`,
      why: "S-2, X-1: a failed start is no exit, and an exit no failed start"
    },
    {
      id: "interrupted-start-is-clean",
      before: `reason._tag === "Shutdown" ? { _tag`,
      after: `reason._tag === "Normal" ? { _tag`,
      why: "law 5: a start that interrupted itself is a defect"
    },
    {
      id: "group-delay-per-child",
      before: `if (this.state.strategy !== "one_for_one") return`,
      after: `if (this.state.strategy === "one_for_one") return`,
      why: "the delay belongs to the group under a group strategy, and to each child under one_for_one"
    },
    {
      id: "backoff-lost-with-the-generation",
      before: "delay: this.lives.get(id)?.delay",
      after: "delay: undefined",
      why: "backoff grows from one generation to the next"
    },
    {
      id: "brutal-waits",
      before: `shutdown === "brutal" ? 0 : shutdown`,
      after: `shutdown === "brutal" ? 5000 : shutdown`,
      why: "D-1: a brutal kill waits for nothing"
    },
    {
      id: "brutal-told-as-abandoned",
      before: `if (shutdown !== "brutal") life.abandonedAfterMillis`,
      after: `if (shutdown === "brutal") life.abandonedAfterMillis`,
      why: "D-5: a brutal kill is what was asked for; a grace that runs out is told"
    },
    {
      id: "late-supervisor-lives-on",
      before: "      life.node?.kill()\n",
      after: "",
      why: "D-9: a supervisor that does not stop in time is killed"
    },
    {
      id: "stop-has-no-limit",
      before: "    life.fiber!.interruptUnsafe()\n    this.limit(life)",
      after: "    life.fiber!.interruptUnsafe()",
      why: "D-1: a child may take its shutdown time to stop, and no longer"
    },
    {
      id: "release-has-no-limit",
      before: "    this.close(life, exit)\n    this.limit(life)",
      after: "    this.close(life, exit)",
      why: "a child that ended by itself may take its shutdown time for its release, and no longer"
    },
    {
      id: "old-limit-after-a-change",
      before: "(this.state.children.get(id)?.facts as Child.Any | undefined) ?? life.child",
      after: "life.child",
      why: "C-3: a new shutdown time holds from the next event on"
    },
    {
      id: "crossing-end-of-a-stop",
      before: `if (life.stopAsked) return this.dispatch({ _tag: "ChildStopped"`,
      after: `if (life.stopAsked && abandonedAfterMillis !== undefined) return this.dispatch({ _tag: "ChildStopped"`,
      why: "a stop that was asked for is reported as a stop"
    },
    {
      id: "escalation-begins-a-new-incident",
      before: "Outcome.incidentOf(exit) ?? life.incident ?? this",
      after: "life.incident ?? this",
      why: "law 8: an escalation keeps the incident of the exit that set it off"
    },
    {
      id: "semantics-not-inherited",
      before: "      semantics: spec.semantics ?? parent.semantics,\n",
      after: "      semantics: parent.semantics,\n",
      why: "the differences are those of the supervisor above unless told otherwise"
    },
    {
      id: "ended-child-counts-as-active",
      before: `if (status._tag === "Running" && !ended) active++`,
      after: `if (status._tag === "Running") active++`,
      why: "A-27: active are those that are alive now"
    },
    {
      id: "timer-counts-from-the-epoch",
      before: "const timer = this.fork(Effect.sleep(at - this.now()))",
      after: "const timer = this.fork(Effect.sleep(at))",
      why: "a restart is due its delay after the exit, whatever the clock reads"
    }
  ]),
  ...of("DynamicSupervisor.ts", [
    {
      id: "max-children-ignored",
      before: "maxChildren: maxChildren ?? Number.POSITIVE_INFINITY",
      after: "maxChildren: Number.POSITIVE_INFINITY",
      why: "E-3: no more than max_children"
    },
    {
      id: "dynamic-children-depend-on-each-other",
      before: `strategy: "one_for_one",\n    autoShutdown`,
      after: `strategy: "one_for_all",\n    autoShutdown`,
      why: "E-2: dynamic children are independent of each other"
    },
    {
      id: "initial-children-ignored",
      before: "initial: initial ?? Effect.succeed([])",
      after: "initial: Effect.succeed([])",
      why: "a dynamic supervisor starts with its initial keys, also after its own restart"
    }
  ])
]
