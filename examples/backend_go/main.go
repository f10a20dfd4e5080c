// A chat behind nginx, in Go with gorilla/websocket.
//
//	PORT    where to listen on 127.0.0.1       HEARTBEAT  seconds between pings; a silent peer is dropped
//	NAME    what this backend calls itself     HUB        the hub's Unix socket; without one it stands alone
//	ORIGIN  the site, https://example.com: no other page may connect
package main

import (
	"bufio"
	"encoding/json"
	"log"
	"net"
	"net/http"
	"os"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// Message is what clients and backends exchange, as JSON.
type Message struct {
	Type        string   `json:"type"`
	Backend     string   `json:"backend,omitempty"`
	Heartbeat   float64  `json:"heartbeat,omitempty"`
	Name        string   `json:"name,omitempty"`
	Text        string   `json:"text,omitempty"`
	On          bool     `json:"on,omitempty"`
	At          int64    `json:"at,omitempty"`
	Connections *int     `json:"connections,omitempty"`
	Names       []string `json:"names,omitempty"`
	Rate        *int     `json:"rate,omitempty"`
}

type client struct {
	name     string
	watching bool
	out      chan []byte // what is to be sent; closed when the client is gone
}

var (
	name      = setting("NAME", "go")
	heartbeat = seconds(setting("HEARTBEAT", "20"))
	lock      sync.Mutex // guards everything below
	clients   = map[*client]bool{}
	hub       net.Conn
	received  int
)

func setting(key, otherwise string) string {
	if value := os.Getenv(key); value != "" {
		return value
	}
	return otherwise
}

func seconds(text string) time.Duration {
	duration, err := time.ParseDuration(text + "s")
	if err != nil {
		log.Fatalf("HEARTBEAT is no number: %v", err)
	}
	return duration
}

// allowed refuses pages of other sites: a browser would send them our user's cookies.
func allowed(request *http.Request) bool {
	site, origin := setting("ORIGIN", "http://"+request.Host), request.Header.Get("Origin")
	_, host, _ := strings.Cut(site, "://")
	return request.Host == host && (origin == "" || origin == site)
}

// The library answers a request that is no opening handshake with 400, one of another site with 403.
var upgrader = websocket.Upgrader{CheckOrigin: allowed}

func serve(response http.ResponseWriter, request *http.Request) {
	socket, err := upgrader.Upgrade(response, request, nil)
	if err != nil {
		return
	}
	one := &client{out: make(chan []byte, 64)}
	one.out <- encode(Message{Type: "welcome", Backend: name, Heartbeat: heartbeat.Seconds()})
	lock.Lock()
	clients[one] = true
	lock.Unlock()
	go write(socket, one)
	read(socket, one)
	leave(one)
}

// read does what a client asks, until it leaves, sends what is no JSON, or answers no ping for two heartbeats.
func read(socket *websocket.Conn, one *client) {
	alive := func(string) error { return socket.SetReadDeadline(time.Now().Add(2 * heartbeat)) }
	socket.SetPongHandler(alive)
	socket.SetReadLimit(16 * 1024)
	for alive("") == nil {
		var message Message
		if socket.ReadJSON(&message) != nil {
			return
		}
		receive(one, message)
	}
}

// receive passes over what it does not understand, so that older clients keep working.
func receive(one *client, message Message) {
	lock.Lock()
	defer lock.Unlock()
	switch message.Type {
	case "join":
		one.name = short(message.Name, 40)
	case "watch":
		one.watching = message.On
	case "chat":
		received++
		text := short(message.Text, 1000)
		publish(Message{Type: "chat", Name: one.name, Text: text, Backend: name, At: time.Now().UnixMilli()})
	}
}

// write is the only one who writes to a socket: messages, and a ping every heartbeat.
func write(socket *websocket.Conn, one *client) {
	pulse := time.NewTicker(heartbeat)
	defer pulse.Stop()
	defer socket.Close()
	for {
		select {
		case text, open := <-one.out:
			_ = socket.SetWriteDeadline(time.Now().Add(10 * time.Second))
			if !open || socket.WriteMessage(websocket.TextMessage, text) != nil {
				return
			}
		case <-pulse.C:
			if socket.WriteControl(websocket.PingMessage, nil, time.Now().Add(10*time.Second)) != nil {
				return
			}
		}
	}
}

func leave(one *client) {
	lock.Lock()
	defer lock.Unlock()
	if clients[one] {
		delete(clients, one)
		close(one.out)
	}
}

// publish tells the clients of every backend; the lock is held.
func publish(message Message) {
	if hub == nil {
		deliver(message.Type, encode(message))
		return
	}
	_ = hub.SetWriteDeadline(time.Now().Add(time.Second))
	if _, err := hub.Write(append(encode(message), '\n')); err != nil {
		hub.Close()
	}
}

// deliver tells our own clients, the figures only those who watch them; the lock is held.  Who cannot keep up is dropped.
func deliver(kind string, line []byte) {
	for one := range clients {
		if kind == "state" && !one.watching {
			continue
		}
		select {
		case one.out <- line:
		default:
			delete(clients, one)
			close(one.out)
		}
	}
}

// listenToHub hears what the clients of the other backends say, for ever; if the hub goes away, until it is back.
func listenToHub(path string) {
	for ; ; time.Sleep(time.Second) {
		connection, err := net.Dial("unix", path)
		if err != nil {
			continue
		}
		setHub(connection)
		for lines := bufio.NewScanner(connection); lines.Scan(); {
			var message Message
			if json.Unmarshal(lines.Bytes(), &message) == nil {
				lock.Lock()
				deliver(message.Type, append([]byte(nil), lines.Bytes()...))
				lock.Unlock()
			}
		}
		connection.Close()
		setHub(nil)
	}
}

func setHub(connection net.Conn) {
	lock.Lock()
	defer lock.Unlock()
	hub = connection
}

// publishFigures tells every second how it goes here.
func publishFigures() {
	for range time.Tick(time.Second) {
		lock.Lock()
		names, connections, rate := []string{}, len(clients), received
		for one := range clients {
			if one.name != "" {
				names = append(names, one.name)
			}
		}
		sort.Strings(names)
		if len(names) > 100 {
			names = names[:100]
		}
		received = 0
		publish(Message{Type: "state", Backend: name, Connections: &connections, Names: names, Rate: &rate})
		lock.Unlock()
	}
}

func encode(message Message) []byte {
	text, err := json.Marshal(message)
	if err != nil {
		log.Fatal(err)
	}
	return text
}

func short(text string, most int) string {
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most])
	}
	return text
}

func main() {
	if path := os.Getenv("HUB"); path != "" {
		go listenToHub(path)
	}
	go publishFigures()
	http.HandleFunc("/ws", serve)
	log.Fatal(http.ListenAndServe("127.0.0.1:"+setting("PORT", "3003"), nil))
}
