import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromBinary } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { encodeBatch } from '../event/record-batch.ts'
import { Overflow, ProduceRequestSchema } from '../gen/millrace/v1/ingest_pb.ts'
import { encodeProducer, ProduceMessageEncoder } from './produce-message.ts'

test('a message decodes to what was encoded, with and without an appended producer', () => {
  fc.assert(
    fc.property(
      fc.stringMatching(/^[a-z0-9][a-z0-9._-]{0,63}$/),
      fc.constantFrom('reject' as const, 'drop' as const, 'wait' as const),
      fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
      fc.string({ unit: 'binary', minLength: 1, maxLength: 200 }),
      fc.array(fc.string({ minLength: 1 }), { minLength: 1, maxLength: 5 }),
      (topic, overflow, sequence, producerId, types) => {
        const message = new ProduceMessageEncoder(topic, overflow).encode(
          encodeBatch(types.map((type) => ({ type }))),
          sequence,
        )

        const plain = fromBinary(ProduceRequestSchema, message)
        const named = fromBinary(
          ProduceRequestSchema,
          Buffer.concat([message, encodeProducer({ id: producerId, epoch: sequence })]),
        )

        assert.deepEqual(
          plain.events.map(({ type }) => type),
          types,
        )
        assert.equal(plain.topic, topic)
        assert.equal(plain.overflow, Overflow[overflow.toUpperCase() as 'REJECT' | 'DROP' | 'WAIT'])
        assert.equal(plain.sequence, BigInt(sequence))
        assert.equal(plain.producerId, '')
        assert.deepEqual({ ...named, producerId: '', producerEpoch: 0n }, { ...plain })
        assert.equal(named.producerEpoch, BigInt(sequence))
        assert.equal(named.producerId, producerId.toWellFormed())
      },
    ),
  )
})
