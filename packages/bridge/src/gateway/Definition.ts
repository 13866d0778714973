/** The gateway's service as grpc-js takes it, and as reflection tells it to clients. */
import { type DescFile, type DescMessage, type DescService, fromBinary, type Message, toBinary } from "@bufbuild/protobuf"
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt"
import type * as grpc from "@grpc/grpc-js"
import { ReflectionService } from "@grpc/reflection"
import * as Health from "grpc-health-check"
import { file_snakepit_v1_gateway, GatewayService } from "../../gen/snakepit/v1/gateway_pb.ts"

const serialize = (message: DescMessage) => (value: Message): Buffer => {
  const bytes = toBinary(message, value)
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
const deserialize = (message: DescMessage) => (bytes: Buffer): Message => fromBinary(message, bytes)

const definitionOf = ({ methods, typeName }: DescService): grpc.ServiceDefinition =>
  Object.fromEntries(methods.map(({ input, localName, methodKind, name, output }) => [localName, {
    path: `/${typeName}/${name}`,
    requestStream: methodKind === "client_streaming" || methodKind === "bidi_streaming",
    responseStream: methodKind === "server_streaming" || methodKind === "bidi_streaming",
    requestSerialize: serialize(input),
    requestDeserialize: deserialize(input),
    responseSerialize: serialize(output),
    responseDeserialize: deserialize(output)
  }]))

/** The service by the local names of its methods. */
export const gateway: grpc.ServiceDefinition = definitionOf(GatewayService)

/** A file and those that it imports, these first. */
const withImports = (file: DescFile): ReadonlyArray<DescFile> => [...file.dependencies.flatMap(withImports), file]

/** Tells clients the services of the gateway: what `grpcurl list` and `describe` ask for. */
export const reflection = (): ReflectionService => {
  const ours = withImports(file_snakepit_v1_gateway).map(({ proto }) => Buffer.from(toBinary(FileDescriptorProtoSchema, proto)))
  const health = Object.values(Health.service).flatMap(({ requestType }) => requestType.fileDescriptorProtos)
  const format = "Protocol Buffer 3 EnumDescriptorProto" as const // or any other: only the files are looked at
  const all = { format, type: {}, fileDescriptorProtos: [...ours, ...health] }
  return new ReflectionService({ all }, { services: [GatewayService.typeName, "grpc.health.v1.Health"] })
}
