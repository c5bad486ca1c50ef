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

// subscriber is the master's end of a connection on which a client subscribes. Messages may be
// lost, duplicated, delayed and reordered.
type subscriber struct {
	link *link
	conn net.Conn
}

// dial connects a subscription to the master. It must take no time. go-redis dials while holding a
// mutex that Close needs too, and virtual time stands still while a goroutine waits for a mutex.
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

// serve replies to the commands of a subscriber until the connection ends.
func (s *subscriber) serve(incarnation int) {
	defer func() { _ = s.conn.Close() }() // closing a pipe cannot fail
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

// deliver sends a message to the client if and when the network lets it. The caller holds the mu of
// the master.
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
				len(m.channel), m.channel, len(m.payload), m.payload) // the client may have closed the pipe
		}()
	}
}

// drawDelays draws the delays of a request and its reply.
func (l *link) drawDelays() (requestDelay, replyDelay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.client.world
	return w.cfg.delay(l.push), w.cfg.delay(l.push)
}

// drawStagger draws how long after a hang the master executes a request.
func (l *link) drawStagger() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.push.between(1, time.Millisecond)
}

// drawDeliveries draws the delays of a published message: none, one, or two if it is duplicated.
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
		after[0] = l.push.between(time.Millisecond, 10*callTimeout) // longer than a grant lasts
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
