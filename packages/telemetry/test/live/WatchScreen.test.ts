import { assert, describe, expect, it } from "@effect/vitest"
import { Ink, WatchScreen } from "@snakepit/telemetry"
import { began, shown } from "./Drawn.ts"

const about = { title: "snakepit 3f2a9c10 pid 4242", now: began + 13_500 }

const plain = (size: WatchScreen.Size, controls = WatchScreen.controls): string =>
  WatchScreen.render(shown(), about, controls, size).map(Ink.toPlain).join("\n")

describe("the screen of watch", () => {
  it("puts the tree above the events on 80 × 24", () => {
    expect(plain({ columns: 80, rows: 24 })).toMatchInlineSnapshot(`
      " snakepit 3f2a9c10 pid 4242  up 13 s  138 calls/s  1 restart in 5 min  1 open i…
       ● snakepit ▮▮▮
       ├─ ● foundation +2 ▮▮▮
       └─ ● pools
          ├─ ● default ▮▮▮
          │  │  up 2/2 busy 1 queued 2 138/s p50 4.2 ms p99 17.3 ms ▁▂▂▃▄▄▅▅▆▇▇█
          │  ├─ ● roster
          │  └─ ● fleet 8/8
          │     ├─ ● 0 ▮▮▮ ready pid 4711
          │     └─ ● 1 ▮▮▯ not ready tainted
          │        └─ ↻ process restarting in 1.5 s: ProcessExited: a segmentation fa…
          └─ ● gpu ▮▮▮
             │  circuit open no sample yet
             ├─ ● roster
        … 2 more below
      ─ events ──────────────────────────────────────────────────────────────────────…
      03:04:05.110 worker.attach gpu/0 tools 3
      03:04:17.500 circuit.open gpu for 1000 ms, openings 1
      03:04:17.600 call.fail gpu ValueError: 不正なトークン 🐍 ·[31m, tool 埋め込み, …
      03:04:18.000 process.exit default/1 a segmentation fault (SIGSEGV), pid 4712, p…
      03:04:18.001 worker.detach default/1 a segmentation fault (SIGSEGV), calls 1
      03:04:18.002 worker.restart default/1 process ProcessExited: a segmentation fau…
      03:04:18.003 worker.taint default/1 a crash, exitClass Segfault, for 5000 ms
       q quit  ↑↓ scroll  f events: all  p pause"
    `)
  })

  it("puts them side by side on 160 × 50", () => {
    expect(plain({ columns: 160, rows: 50 }).trimEnd()).toMatchInlineSnapshot(`
      " snakepit 3f2a9c10 pid 4242  up 13 s  138 calls/s  1 restart in 5 min  1 open incident (1-0)
       ● snakepit ▮▮▮                                                           │ 03:04:05.100 process.start default/0 pid 4711, start fork, took 50 ms
       ├─ ● foundation +2 ▮▮▮                                                   │ 03:04:05.110 worker.attach default/0 tools 3
       └─ ● pools                                                               │ 03:04:05.100 process.start default/1 pid 4712, start fork, took 50 ms
          ├─ ● default ▮▮▮                                                      │ 03:04:05.110 worker.attach default/1 tools 3
          │  │  up 2/2 busy 1 queued 2 138/s p50 4.2 ms p99 17.3 ms ▂▃▄▄▅▅▆▇▇█  │ 03:04:05.100 process.start gpu/0 pid 4711, start fork, took 50 ms
          │  ├─ ● roster                                                        │ 03:04:05.110 worker.attach gpu/0 tools 3
          │  └─ ● fleet 8/8                                                     │ 03:04:17.500 circuit.open gpu for 1000 ms, openings 1
          │     ├─ ● 0 ▮▮▮ ready pid 4711                                       │ 03:04:17.600 call.fail gpu ValueError: 不正なトークン 🐍 ·[31m, tool 埋め込み, exec…
          │     └─ ● 1 ▮▮▯ not ready tainted                                    │ 03:04:18.000 process.exit default/1 a segmentation fault (SIGSEGV), pid 4712, plann…
          │        └─ ↻ process restarting in 1.5 s: ProcessExited: a segmenta… │ 03:04:18.001 worker.detach default/1 a segmentation fault (SIGSEGV), calls 1
          └─ ● gpu ▮▮▮                                                          │ 03:04:18.002 worker.restart default/1 process ProcessExited: a segmentation fault (…
             │  circuit open no sample yet                                      │ 03:04:18.003 worker.taint default/1 a crash, exitClass Segfault, for 5000 ms
             ├─ ● roster                                                        │
             └─ ● fleet 8/8                                                     │
                └─ ● 0 ▮▮▮ ready pid 4711                                       │
                                                                                │
                                                                                │
                                                                                │
                                                                                │
                                                                                │
                                                                                │
                                                                                │
                                                                                │
                                                                                │
                                                                                │
                                                                                │
                                                                                │
                                                                                │
                                                                                │
                                                                                │
                                                                                │
                                                                                │
                                                                                │
                                                                                │
                                                                                │
                                                                                │
                                                                                │
                                                                                │
                                                                                │
                                                                                │
                                                                                │
                                                                                │
                                                                                │
                                                                                │
                                                                                │
                                                                                │
                                                                                │
                                                                                │
       q quit  ↑↓ scroll  f events: all  p pause"
    `)
  })

  it("fills every row of any size to the column, whatever is in it, and asks the terminal for nothing", () => {
    for (const columns of [1, 2, 20, 40, 79, 80, 99, 100, 101, 160, 300]) {
      for (const rows of [1, 2, 3, 5, 24, 50, 100]) {
        for (const scroll of [0, 3, 1000]) {
          const lines = WatchScreen.render(shown(), about, { ...WatchScreen.controls, scroll }, { columns, rows })
          assert.lengthOf(lines, rows)
          for (const line of lines) {
            const text = line.map(({ text }) => text).join("")
            assert.strictEqual(Ink.width(text), columns, `${columns} × ${rows}: ${text}`)
            assert.notMatch(text, /\p{Cc}/u)
          }
        }
      }
    }
  })

  it("shows the last of a tree that is longer than the screen, and says how much there is below", () => {
    const size = { columns: 160, rows: 8 }
    assert.match(plain(size), /… 10 more below/)
    assert.include(plain(size, { ...WatchScreen.controls, scroll: 1000 }), "└─ ● 0 ▮▮▮ ready")
  })

  it("lists the events that the filter lets pass", () => {
    const listed = (filter: WatchScreen.Filter) => plain({ columns: 160, rows: 50 }, { ...WatchScreen.controls, filter })
    assert.include(listed("all"), "worker.attach")
    assert.notInclude(listed("failures"), "worker.attach")
    assert.include(listed("failures"), "process.exit")
    assert.include(listed("supervision"), "worker.restart")
    assert.notInclude(listed("supervision"), "process.exit")
    assert.notInclude(listed("calls"), "worker.restart")
    assert.include(listed("calls"), "call.fail")
  })

  it("knows of nothing before the first event", () => {
    assert.include(
      WatchScreen.render({ tree: { ...shown().tree, root: undefined }, recent: [] }, about, WatchScreen.controls, { columns: 80, rows: 10 })
        .map(Ink.toPlain).join("\n"),
      "nothing is known of the tree yet"
    )
  })
})

describe("ink", () => {
  it("counts the columns that a terminal gives a text", () => {
    for (
      const [text, columns] of [["abc", 3], ["埋め込み", 8], ["🐍", 2], ["é", 1], ["e\u0301", 1], ["👩‍🔬", 2], ["한글", 4], ["", 0], [
        "│●▮",
        3
      ]] as const
    ) {
      assert.strictEqual(Ink.width(text), columns, text)
    }
  })

  it("cuts between characters, never within one, and fills up", () => {
    assert.strictEqual(Ink.fit([Ink.piece("埋め込み")], 4).map(({ text }) => text).join(""), "埋… ")
    assert.strictEqual(Ink.fit([Ink.piece("ab"), Ink.piece("cd", "bad")], 3).map(({ text }) => text).join(""), "ab…")
    assert.strictEqual(Ink.fit([Ink.piece("ab")], 4).map(({ text }) => text).join(""), "ab  ")
  })

  it("colours only when it may", () => {
    const line = [Ink.piece("a", "bad"), Ink.piece("b")]
    assert.strictEqual(Ink.toAnsi(line, true), "\u001b[1;31ma\u001b[0mb")
    assert.strictEqual(Ink.toAnsi(line, false), "ab")
  })

  it("draws courses and gauges", () => {
    assert.strictEqual(Ink.sparkline([0, 1, 2, 4], 3), "▃▅█")
    assert.strictEqual(Ink.sparkline([0, 0], 5), "▁▁")
    assert.deepStrictEqual([Ink.gauge(1, 3), Ink.gauge(0, 2), Ink.gauge(70, 100)], ["▮▯▯", "▯▯", "70/100"])
  })
})
