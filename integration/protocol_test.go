package integration

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-cleanhttp"
	"github.com/stretchr/testify/require"
)

// A protocol is what is spoken to a server.
type protocol struct {
	name   string
	secure bool
	major  int
}

var protocols = []protocol{
	{"HTTP1", false, 1},
	{"HTTP1overTLS", true, 1},
	{"HTTP2overTLS", true, 2},
}

// runEachProtocol runs a test with each of them.
func runEachProtocol(t *testing.T, test func(*testing.T, protocol)) {
	t.Helper()
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			test(t, p)
		})
	}
}

// base returns a pooled base transport that speaks the protocol and trusts the servers of these tests.
func (p protocol) base() *http.Transport {
	base := cleanhttp.DefaultPooledTransport()
	base.TLSClientConfig = &tls.Config{RootCAs: identity().roots, ServerName: serverName}
	base.MaxIdleConnsPerHost = 100
	base.Protocols = &http.Protocols{}
	base.Protocols.SetHTTP1(p.major == 1)
	base.Protocols.SetHTTP2(p.major == 2)
	return base
}

func (p protocol) scheme() string {
	if p.secure {
		return "https://"
	}
	return "http://"
}

// An endpoint is where a server listens: without TLS, and over TLS.
type endpoint struct{ Plain, Secure string }

func newEndpoint(t *testing.T) endpoint {
	t.Helper()
	return endpoint{Plain: freeAddress(t), Secure: freeAddress(t)}
}

func (p protocol) url(at endpoint, path string) string {
	if p.secure {
		return p.scheme() + at.Secure + path
	}
	return p.scheme() + at.Plain + path
}

// serverName is the name in the servers' certificate, because their addresses are random.
const serverName = "server.test"

// A keyPair is a certificate, its key, and the pool that trusts it.
type keyPair struct {
	certificate, key []byte // PEM
	roots            *x509.CertPool
}

var identity = sync.OnceValue(func() keyPair {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), BasicConstraintsValid: true, IsCA: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{serverName},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(err)
	made := keyPair{
		certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}),
		key:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		roots:       x509.NewCertPool(),
	}
	made.roots.AppendCertsFromPEM(made.certificate)
	return made
})

func (p keyPair) serverConfig() *tls.Config {
	certificate, err := tls.X509KeyPair(p.certificate, p.key)
	must(err)
	return &tls.Config{Certificates: []tls.Certificate{certificate}}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// writeIdentity writes certificate and key into one file, which haproxy needs and nginx accepts.
func writeIdentity(t *testing.T, directory string) (path string) {
	t.Helper()
	path = filepath.Join(directory, "identity.pem")
	both := append(append([]byte{}, identity().certificate...), identity().key...)
	require.NoError(t, os.WriteFile(path, both, 0o600))
	return path
}
