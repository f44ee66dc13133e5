// Two pion/turn clients that send to each other's relayed transport addresses: `pion HOST PORT USERNAME PASSWORD REALM`.
package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/pion/logging"
	"github.com/pion/turn/v2"
)

const (
	messages = 1000
	// So few at a time that no socket buffer overflows: a loss is then the relay's.
	window = 16
	// Far beyond what any machine needs: it ends a run that would otherwise wait for ever.
	patience = 60 * time.Second
)

func fail(what string, err error) {
	fmt.Println("failed:", what+":", err)
	os.Exit(1)
}

func allocate() (*turn.Client, net.PacketConn) {
	server := net.JoinHostPort(os.Args[1], os.Args[2])
	socket, err := net.ListenPacket("udp", net.JoinHostPort(os.Args[1], "0"))
	if err != nil {
		fail("a socket", err)
	}
	client, err := turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: server, TURNServerAddr: server, Conn: socket,
		Username: os.Args[3], Password: os.Args[4], Realm: os.Args[5],
		LoggerFactory: logging.NewDefaultLoggerFactory(),
	})
	if err != nil {
		fail("a client", err)
	}
	if err = client.Listen(); err != nil {
		fail("listening", err)
	}
	relayed, err := client.Allocate()
	if err != nil {
		fail("Allocate", err)
	}
	return client, relayed
}

func message(direction string, number int) string {
	return fmt.Sprintf("%s %d ", direction, number) + strings.Repeat("x", number%1000)
}

// receive takes the messages from first to below end, in any order.
func receive(conn net.PacketConn, direction string, first, end int) {
	expected := map[string]bool{}
	for number := first; number < end; number++ {
		expected[message(direction, number)] = true
	}
	buffer := make([]byte, 1600)
	for len(expected) > 0 {
		if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			fail("a deadline", err)
		}
		length, _, err := conn.ReadFrom(buffer)
		if err != nil {
			fail(fmt.Sprintf("%d messages %s up to %d are missing", len(expected), direction, end-1), err)
		}
		text := string(buffer[:length])
		if text == "hello" {
			continue
		}
		if !expected[text] {
			fail("unexpected message", fmt.Errorf("%.40s", text))
		}
		delete(expected, text)
	}
}

func send(conn net.PacketConn, text string, to net.Addr) {
	if _, err := conn.WriteTo([]byte(text), to); err != nil {
		fail("sending", err)
	}
}

func main() {
	clientA, a := allocate()
	clientB, b := allocate()
	// Gives a permission on b's side. Nothing but what a itself permits reaches a, so this may be lost.
	send(b, "hello", a.LocalAddr())
	for first := 0; first < messages; first += window {
		end := first + window
		if end > messages {
			end = messages
		}
		for number := first; number < end; number++ {
			send(a, message("there", number), b.LocalAddr())
		}
		receive(b, "there", first, end)
		for number := first; number < end; number++ {
			send(b, message("back", number), a.LocalAddr())
		}
		receive(a, "back", first, end)
	}
	a.Close()
	b.Close()
	clientA.Close()
	clientB.Close()
	fmt.Printf("%d messages each way\n", messages)
}
