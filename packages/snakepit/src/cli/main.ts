#!/usr/bin/env node
/** The program `snakepit`. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Command } from "effect/cli"
import * as Effect from "effect/Effect"
import { command, version } from "./SnakepitCommand.ts"

Command.run(command, { version: version() }).pipe(Effect.provide(NodeServices.layer), NodeRuntime.runMain)
