package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// The networks are toxiproxy's, in a process of their own: it leaves goroutines behind, and toxics that come and go
// under load can bring it to a halt. So each weather has a proxy of its own, and a new connection takes the one
// of the weather that there is.

// climate is how often there is which weather: a toxic in toxiproxy's own words, none, or an outage.
var climate = []weighted[string]{
	{40, fine},
	{10, `{"type": "latency", "stream": "downstream", "attributes": {"latency": 100, "jitter": 100}}`},
	{10, `{"type": "latency", "stream": "upstream", "attributes": {"latency": 50, "jitter": 50}}`},
	{5, `{"type": "bandwidth", "stream": "downstream", "attributes": {"rate": 500}}`},
	{5, `{"type": "bandwidth", "stream": "upstream", "attributes": {"rate": 500}}`},
	{5, `{"type": "slicer", "stream": "downstream", "attributes": {"average_size": 500, "size_variation": 400, "delay": 100}}`},
	{5, `{"type": "slow_close", "stream": "downstream", "attributes": {"delay": 200}}`},
	{5, `{"type": "reset_peer", "stream": "downstream", "toxicity": 0.3, "attributes": {"timeout": 50}}`},
	{5, `{"type": "reset_peer", "stream": "upstream", "toxicity": 0.3, "attributes": {"timeout": 0}}`},
	{5, `{"type": "limit_data", "stream": "downstream", "toxicity": 0.5, "attributes": {"bytes": 20000}}`},
	{5, `{"type": "limit_data", "stream": "upstream", "toxicity": 0.5, "attributes": {"bytes": 20000}}`},
	{5, `{"type": "timeout", "stream": "downstream", "toxicity": 0.3, "attributes": {"timeout": 0}}`},
	{5, `{"type": "timeout", "stream": "upstream", "toxicity": 0.3, "attributes": {"timeout": 500}}`},
	{10, outage},
}

const (
	fine   = ""
	outage = "outage"
)

// A station is the process in which the networks are. It runs until its input ends.
type station struct {
	command  *exec.Cmd
	input    io.WriteCloser
	networks []*network
}

// A network is what lies between callers and one shop. Its weather is drawn from the seed.
type network struct {
	draw      draw
	cut       func()            // drops all connections, at the shop's end
	addresses map[string]string // of the proxy for each weather
	weather   atomic.Value      // a string of the climate
	open      atomic.Int64      // connections
}

// stationFlag makes this program a station, for the servers at the addresses that follow it.
const stationFlag = "-station"

// startStation starts one before these servers.
func startStation(seed uint64, targets []string) (*station, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &station{command: exec.Command(self, append([]string{stationFlag}, targets...)...)}
	s.command.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE")) // it has no report to wait for
	s.command.Stderr = os.Stderr
	if s.input, err = s.command.StdinPipe(); err != nil {
		return nil, err
	}
	answers, err := s.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.command.Start(); err != nil {
		return nil, err
	}
	var addresses []map[string]string
	if err := json.NewDecoder(answers).Decode(&addresses); err != nil {
		return nil, fmt.Errorf("what the station says: %w; it ended with: %w", err, s.close())
	}
	for i := range targets {
		n := &network{draw: drawFrom(seed, weathers, uint64(i)), addresses: addresses[i]}
		n.weather.Store(fine)
		s.networks = append(s.networks, n)
	}
	return s, nil
}

// close ends the station, by force if it must.
func (s *station) close() error {
	_ = s.input.Close()
	defer time.AfterFunc(patience, func() { _ = s.command.Process.Kill() }).Stop()
	return s.command.Wait()
}

// change lets one weather follow another, until it is told to stop. An outage begins by cutting what there is.
func (n *network) change(stop <-chan struct{}) {
	for {
		weather := oneOf(n.draw, climate)
		n.weather.Store(weather)
		longest := 2 * time.Second
		if weather == outage {
			longest = 600 * time.Millisecond
			n.cut()
		}
		select {
		case <-stop:
			return
		case <-time.After(n.draw.between(200*time.Millisecond, longest)):
		}
	}
}

// dial goes through the proxy of the weather that there is.
func (n *network) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	address, ok := n.addresses[n.weather.Load().(string)]
	if !ok {
		address = "127.0.0.1:1" // where nobody listens
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	n.open.Add(1)
	return &countedConn{Conn: conn, network: n}, nil
}

// A countedConn is counted until it is closed.
type countedConn struct {
	net.Conn
	network *network
	closed  atomic.Bool
}

func (c *countedConn) Close() error {
	if !c.closed.Swap(true) {
		c.network.open.Add(-1)
	}
	return c.Conn.Close()
}

// runStation is the station's main: it tells its addresses, and stays until there is nothing to read.
func runStation(targets []string, input io.Reader, answers io.Writer) error {
	zerolog.SetGlobalLevel(zerolog.Disabled) // some toxics have a logger of their own
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	var addresses []map[string]string
	for _, target := range targets {
		proxies, err := startProxies(server, target)
		if err != nil {
			return err
		}
		addresses = append(addresses, proxies)
	}
	if err := json.NewEncoder(answers).Encode(addresses); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, input)
	return err
}

// startProxies starts one for each weather, and returns their addresses.
func startProxies(server *toxiproxy.ApiServer, target string) (map[string]string, error) {
	addresses := make(map[string]string)
	for _, c := range climate {
		if c.choice == outage {
			continue
		}
		proxy := toxiproxy.NewProxy(server, target, "127.0.0.1:0", target)
		if err := proxy.Start(); err != nil {
			return nil, err
		}
		addresses[c.choice] = proxy.Listen
		if c.choice == fine {
			continue
		}
		if _, err := proxy.Toxics.AddToxicJson(strings.NewReader(c.choice)); err != nil {
			return nil, err
		}
	}
	return addresses, nil
}
