package main

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

type franzClient struct{}

var franzCodecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

func (franzClient) produce(brokers []string, topic string, values <-chan string, codec string, acknowledged func(string)) error {
	c, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DefaultProduceTopic(topic),
		kgo.ProducerBatchCompression(franzCodecs[codec]))
	if err != nil {
		return err
	}
	defer c.Close()
	ctx := context.Background()
	var failed error
	for v := range values {
		c.Produce(ctx, kgo.StringRecord(v), func(r *kgo.Record, err error) {
			if err != nil {
				failed = err
			} else {
				acknowledged(string(r.Value))
			}
		})
	}
	if err := c.Flush(ctx); err != nil {
		return err
	}
	return failed
}

func (franzClient) consume(brokers []string, topic, group string, silence time.Duration, got func(string)) error {
	c, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic), kgo.ConsumerGroup(group),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer c.Close()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), silence)
		fetched := c.PollFetches(ctx)
		cancel()
		if fetched.NumRecords() == 0 {
			return c.CommitUncommittedOffsets(context.Background())
		}
		fetched.EachRecord(func(r *kgo.Record) { got(string(r.Value)) })
	}
}
