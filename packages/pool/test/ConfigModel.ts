/** A configuration of pools with something of each class and kind of key, and parts of it as users write them. */
import { Effect, Schema } from "effect"
import { ConfigShape, PoolConfig, ReloadClass } from "../src/index.ts"

const Python = Schema.Struct({
  adapter: Schema.NonEmptyString,
  env: ReloadClass.secret(Schema.Record(Schema.String, Schema.String).pipe(Schema.withDecodingDefault(Effect.succeed({}))))
})

export const TestConfig = Schema.Struct({
  pools: Schema.Record(Schema.String, Schema.Struct({ ...PoolConfig.PoolConfig.fields, python: ReloadClass.roll(Python) })),
  address: ReloadClass.restart("it listens there")(Schema.String.pipe(Schema.withDecodingDefault(Effect.succeed("here")))),
  token: Schema.optionalKey(Schema.String).annotateKey({
    [ReloadClass.annotation]: { class: "restart", because: "it is open", secret: true }
  })
})
export type TestConfig = typeof TestConfig.Type

export const shape = ConfigShape.of(TestConfig)

/** What makes any part of it whole. */
export const base = { pools: { a: { python: { adapter: "tools" } } } }

const key = <S extends Schema.Top>(schema: S) => Schema.optionalKey(schema)
const small = (most: number) => Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: most }))

const Pool = Schema.Struct({
  size: key(small(4)),
  callTimeout: key(Schema.Literals(["1 second", "2 seconds"])),
  concurrency: key(small(3)),
  queue: key(Schema.Struct({ capacity: key(small(3)), perTenant: key(small(3)) })),
  launch: key(Schema.Struct({ spares: key(small(2)) })),
  python: key(Schema.Struct({
    adapter: key(Schema.Literals(["tools", "others"])),
    env: key(Schema.Record(Schema.Literals(["TOKEN", "MODE"]), Schema.Literals(["secret-one", "secret-two"])))
  }))
})

/** Any part of it that is valid, over {@link base}. */
export const Part = Schema.Struct({
  pools: key(Schema.Struct({ a: key(Pool) })),
  address: key(Schema.Literals(["here", "there"]))
})

/** Parts that are no part of it. */
export const Mistake = Schema.Literals([
  { what: { pools: { a: { size: 0 } } }, key: "pools.a.size" },
  { what: { pools: { a: { size: "many" } } }, key: "pools.a.size" },
  { what: { pools: { a: { callTimeout: "soon" } } }, key: "pools.a.callTimeout" },
  { what: { pools: { a: { calTimeout: "1 second" } } }, key: "pools.a.calTimeout" },
  { what: { pools: { b: { size: 1 } } }, key: "pools.b.python" },
  { what: { pools: { a: { queue: 7 } } }, key: "pools.a.queue" },
  { what: { pool: {} }, key: "pool" }
].map((mistake) => JSON.stringify(mistake)))
