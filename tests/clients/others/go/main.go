// The clients of Go, franz-go and sarama, behind the command line that test_others.py speaks.
//
//	LIBRARY produce BROKERS TOPIC COUNT SECONDS CODEC   values 0, 1, ... in order, acks all; prints each as it is acknowledged
//	LIBRARY consume BROKERS TOPIC GROUP SECONDS         prints values until it has heard nothing for so long
package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

type client interface {
	produce(brokers []string, topic string, values <-chan string, codec string, acknowledged func(string)) error
	consume(brokers []string, topic, group string, silence time.Duration, got func(string)) error
}

var clients = map[string]client{"franz-go": franzClient{}, "sarama": saramaClient{}}

func seconds(text string) time.Duration {
	s, err := strconv.ParseFloat(text, 64)
	must(err)
	return time.Duration(s * float64(time.Second))
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func evenly(count int, over time.Duration) <-chan string {
	values := make(chan string)
	go func() {
		defer close(values)
		start := time.Now()
		for i := 0; i < count; i++ {
			time.Sleep(time.Until(start.Add(over * time.Duration(i) / time.Duration(count))))
			values <- strconv.Itoa(i)
		}
	}()
	return values
}

func main() {
	a := os.Args[1:]
	c := clients[a[0]]
	brokers, topic := strings.Split(a[2], ","), a[3]
	out := bufio.NewWriter(os.Stdout)
	tell := func(value string) {
		fmt.Fprintln(out, value)
		out.Flush()
	}
	if a[1] == "produce" {
		count, err := strconv.Atoi(a[4])
		must(err)
		must(c.produce(brokers, topic, evenly(count, seconds(a[5])), a[6], tell))
	} else {
		must(c.consume(brokers, topic, a[4], seconds(a[5]), tell))
	}
}
