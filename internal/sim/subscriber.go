package sim

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// subscriber is the master's end of a connection that a client subscribes on.
// What is published may be lost, come twice, late, and in any order.
type subscriber struct {
	link *link
	conn net.Conn
}

// dial connects to the master, for a subscription. It takes no time: go-redis waits
// for it under a lock that who closes the subscription waits for, and virtual time
// stands still while a goroutine waits for a lock.
func (l *link) dial() (net.Conn, error) {
	w := l.client.world
	incarnation, down := l.master.state()
	if down || l.client.gone.Load() {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	ours, theirs := net.Pipe()
	s := &subscriber{link: l, conn: theirs}
	w.inFlight.Add(1)
	go func() {
		defer w.inFlight.Done()
		s.serve(incarnation)
	}()
	return ours, nil
}

// serve answers the commands that subscribers send, until the connection ends.
func (s *subscriber) serve(incarnation int) {
	defer func() { _ = s.conn.Close() }() // it is a pipe
	for r := bufio.NewReader(s.conn); ; {
		words, err := readCommand(r)
		if err != nil {
			return
		}
		requestDelay, replyDelay := s.link.drawDelays()
		time.Sleep(requestDelay)
		reply := "*2\r\n$4\r\npong\r\n$0\r\n\r\n"
		if strings.EqualFold(words[0], "subscribe") {
			if !s.link.master.subscribe(incarnation, words[1], s) {
				return
			}
			reply = fmt.Sprintf("*3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:1\r\n", len(words[1]), words[1])
		}
		time.Sleep(replyDelay)
		s.link.client.waitThawed(requestDelay)
		if _, err := io.WriteString(s.conn, reply); err != nil {
			return
		}
	}
}

// deliver has a message arrive, if and when the network lets it. The caller holds
// the master's mu.
func (s *subscriber) deliver(m message) {
	w := s.link.client.world
	for _, after := range s.link.drawDeliveries() {
		w.inFlight.Add(1)
		stagger := s.link.drawStagger()
		go func() {
			defer w.inFlight.Done()
			time.Sleep(after)
			s.link.client.waitThawed(stagger)
			if s.link.client.gone.Load() {
				return
			}
			_, _ = fmt.Fprintf(s.conn, "*3\r\n$7\r\nmessage\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n",
				len(m.channel), m.channel, len(m.payload), m.payload) // it may have been closed
		}()
	}
}

// crossing draws how long a message takes there, and its answer back.
func (l *link) drawDelays() (requestDelay, replyDelay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.client.world
	return w.cfg.delay(l.push), w.cfg.delay(l.push)
}

// scatter draws when a master that hung comes round to what piled up.
func (l *link) drawStagger() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.push.between(1, time.Millisecond)
}

// deliveries draws when a published message arrives: not at all, once, or twice.
func (l *link) drawDeliveries() (after []time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.client.world
	faulty := !w.calm.Load()
	if l.push.chance(w.cfg.Loss) && faulty {
		return nil
	}
	after = append(after, w.cfg.delay(l.push))
	if l.push.chance(w.cfg.Late) && faulty {
		after[0] = l.push.between(time.Millisecond, 3*callTimeout)
	}
	if l.push.chance(w.cfg.Repeat) {
		after = append(after, l.push.between(time.Millisecond, callTimeout))
	}
	return after
}

func readCommand(r *bufio.Reader) ([]string, error) {
	var n int
	if _, err := fmt.Fscanf(r, "*%d\r\n", &n); err != nil {
		return nil, err
	}
	words := make([]string, n)
	for i := range words {
		var size int
		if _, err := fmt.Fscanf(r, "$%d\r\n", &size); err != nil {
			return nil, err
		}
		word := make([]byte, size+2)
		if _, err := io.ReadFull(r, word); err != nil {
			return nil, err
		}
		words[i] = string(word[:size])
	}
	return words, nil
}
