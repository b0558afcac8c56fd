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

// The networks are toxiproxy's, in a process of its own: toxiproxy leaves goroutines behind, and it can come to a halt
// if toxics are added and removed under load. So each toxic has a proxy of its own, and a new connection goes through
// the proxy of the present toxic.

// toxics are toxiproxy's own, or none, or an outage; the weight is how often each is chosen.
var toxics = []weighted[string]{
	{40, noToxic},
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
	noToxic = ""
	outage  = "outage"
)

// A proxyProcess is the process of the proxies. It runs until its input ends.
type proxyProcess struct {
	command  *exec.Cmd
	input    io.WriteCloser
	networks []*network
}

// A network is what lies between the callers and one server of the backend.
type network struct {
	random    random
	cut       func()            // closes all connections, at the backend's end
	addresses map[string]string // of the proxy for each toxic
	toxic     atomic.Value      // the present one, a string
	open      atomic.Int64      // connections
}

// proxyFlag makes this program the process of the proxies, for the servers at the addresses that follow it.
const proxyFlag = "-proxies"

// startProxyProcess starts the proxies in front of these servers.
func startProxyProcess(seed uint64, targets []string) (*proxyProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &proxyProcess{command: exec.Command(self, append([]string{proxyFlag}, targets...)...)}
	p.command.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE")) // it has no report to wait for
	p.command.Stderr = os.Stderr
	if p.input, err = p.command.StdinPipe(); err != nil {
		return nil, err
	}
	output, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	var addresses []map[string]string
	if err := json.NewDecoder(output).Decode(&addresses); err != nil {
		return nil, fmt.Errorf("output of the proxy process: %w; it ended with: %w", err, p.close())
	}
	for i := range targets {
		n := &network{random: newRandom(seed, networkToxics, uint64(i)), addresses: addresses[i]}
		n.toxic.Store(noToxic)
		p.networks = append(p.networks, n)
	}
	return p, nil
}

// close ends the process, and kills it if it does not end.
func (p *proxyProcess) close() error {
	_ = p.input.Close()
	defer time.AfterFunc(machineTime, func() { _ = p.command.Process.Kill() }).Stop()
	return p.command.Wait()
}

// changeToxics puts one toxic after another in place, until it is stopped. An outage begins by closing all
// connections.
func (n *network) changeToxics(stop <-chan struct{}) {
	for {
		toxic := choose(n.random, toxics)
		n.toxic.Store(toxic)
		longest := 2 * time.Second
		if toxic == outage {
			longest = 600 * time.Millisecond
			n.cut()
		}
		select {
		case <-stop:
			return
		case <-time.After(n.random.duration(200*time.Millisecond, longest)):
		}
	}
}

// dial goes through the proxy of the present toxic.
func (n *network) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	address, ok := n.addresses[n.toxic.Load().(string)]
	if !ok {
		address = "127.0.0.1:1" // nobody listens there
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

// runProxies is the main function of the proxy process: it writes its addresses, and runs until its input ends.
func runProxies(targets []string, input io.Reader, output io.Writer) error {
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
	if err := json.NewEncoder(output).Encode(addresses); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, input)
	return err
}

// startProxies starts one for each toxic, and returns their addresses.
func startProxies(server *toxiproxy.ApiServer, target string) (map[string]string, error) {
	addresses := make(map[string]string)
	for _, toxic := range toxics {
		if toxic.choice == outage {
			continue
		}
		proxy := toxiproxy.NewProxy(server, target, "127.0.0.1:0", target)
		if err := proxy.Start(); err != nil {
			return nil, err
		}
		addresses[toxic.choice] = proxy.Listen
		if toxic.choice == noToxic {
			continue
		}
		if _, err := proxy.Toxics.AddToxicJson(strings.NewReader(toxic.choice)); err != nil {
			return nil, err
		}
	}
	return addresses, nil
}
