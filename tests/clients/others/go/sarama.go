package main

import (
	"context"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

type saramaClient struct{}

var saramaCodecs = map[string]sarama.CompressionCodec{
	"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
	"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
}

func config() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.MaxVersion
	return c
}

func (saramaClient) produce(brokers []string, topic string, values <-chan string, codec string, acknowledged func(string)) error {
	c := config()
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Idempotent = true
	c.Net.MaxOpenRequests = 1 // which sarama asks of idempotent producers
	c.Producer.Retry.Max = 100
	c.Producer.Return.Successes = true
	c.Producer.Compression = saramaCodecs[codec]
	p, err := sarama.NewAsyncProducer(brokers, c)
	if err != nil {
		return err
	}
	var failed error
	var done sync.WaitGroup
	done.Add(2)
	go func() {
		defer done.Done()
		for m := range p.Successes() {
			v, _ := m.Value.Encode()
			acknowledged(string(v))
		}
	}()
	go func() {
		defer done.Done()
		for e := range p.Errors() {
			failed = e
		}
	}()
	for v := range values {
		p.Input() <- &sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(v)}
	}
	p.AsyncClose()
	done.Wait()
	return failed
}

type member struct {
	mu   sync.Mutex
	last time.Time
	got  func(string)
}

func (m *member) heard() {
	m.mu.Lock()
	m.last = time.Now()
	m.mu.Unlock()
}
func (m *member) Setup(sarama.ConsumerGroupSession) error   { m.heard(); return nil }
func (m *member) Cleanup(sarama.ConsumerGroupSession) error { return nil }
func (m *member) ConsumeClaim(s sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for r := range claim.Messages() {
		m.heard()
		m.mu.Lock()
		m.got(string(r.Value))
		m.mu.Unlock()
		s.MarkMessage(r, "")
	}
	return nil
}

func (saramaClient) consume(brokers []string, topic, group string, silence time.Duration, got func(string)) error {
	c := config()
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	g, err := sarama.NewConsumerGroup(brokers, group, c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{last: time.Now(), got: got}
	go func() {
		for {
			time.Sleep(50 * time.Millisecond)
			m.mu.Lock()
			quiet := time.Since(m.last) > silence
			m.mu.Unlock()
			if quiet {
				cancel()
				return
			}
		}
	}()
	for ctx.Err() == nil {
		if err := g.Consume(ctx, []string{topic}, m); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return g.Close()
}
