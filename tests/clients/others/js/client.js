// kafkajs behind the command line that test_others.py speaks; see ../go/main.go.
const { Kafka, logLevel, CompressionTypes, CompressionCodecs } = require('kafkajs')
CompressionCodecs[CompressionTypes.Snappy] = require('kafkajs-snappy')

const [, , , verb, brokers, topic, third, seconds, codec] = process.argv
const kafka = new Kafka({ brokers: brokers.split(','), logLevel: logLevel.NOTHING, retry: { retries: 30 } })
const codecs = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy }
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))

async function produce() {
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  const count = Number(third), start = Date.now()
  for (let i = 0; i < count; ) {
    // What is due by now goes in one batch: kafkajs gathers nothing by itself.
    const passed = Number(seconds) > 0 ? (Date.now() - start) / 1000 / Number(seconds) : 1
    const due = Math.min(count, Math.floor(passed * count) + 1)
    if (due <= i) {
      await sleep(1)
      continue
    }
    const values = Array.from({ length: due - i }, (_, k) => String(i + k))
    await producer.send({ topic, acks: -1, compression: codecs[codec], messages: values.map(value => ({ value })) })
    values.forEach(v => console.log(v))
    i = due
  }
  await producer.disconnect()
}

async function consume() {
  const consumer = kafka.consumer({ groupId: third })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  let last = Date.now()
  consumer.on(consumer.events.GROUP_JOIN, () => (last = Date.now()))
  await consumer.run({ eachMessage: async ({ message }) => ((last = Date.now()), console.log(message.value.toString())) })
  while (Date.now() - last < Number(seconds) * 1000) await sleep(50)
  await consumer.disconnect()
}

;(verb === 'produce' ? produce() : consume()).catch(e => {
  console.error(e)
  process.exit(1)
})
