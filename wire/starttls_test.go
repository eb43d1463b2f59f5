package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// tlsConfigs returns the two sides of a TLS connection to example.com.
func tlsConfigs(t testing.TB) (server, client *tls.Config) {
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return &tls.Config{Certificates: s.TLS.Certificates}, &tls.Config{RootCAs: roots, ServerName: "example.com"}
}

// tlsPair returns both ends of a connection after STARTTLS.
func tlsPair(t testing.TB) (client, server *Conn) {
	serverConfig, clientConfig := tlsConfigs(t)
	a, b := tcpPair(t)
	client, server = New(a, Config{}), New(b, Config{})
	done := make(chan error)
	go func() { done <- client.StartTLS(t.Context(), clientConfig, false) }()
	if err := errors.Join(server.StartTLS(t.Context(), serverConfig, true), <-done); err != nil {
		t.Fatal(err)
	}
	return client, server
}

func TestTLSCarriesLinesBothWays(t *testing.T) {
	client, server := tlsPair(t)
	long := strings.Repeat("x", 8000)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for range 20 {
			client.WriteString(long + "\r\n")
		}
		client.WriteString("end\r\n")
		client.Flush()
	}()
	for range 20 {
		if line, err := server.ReadLine(); string(line) != long || err != nil {
			t.Fatalf("got %d bytes, %v", len(line), err)
		}
	}
	if line, err := server.ReadLine(); string(line) != "end" || err != nil {
		t.Errorf("got %q, %v", line, err)
	}
	if server.TLS() == nil || server.TLS().Version != tls.VersionTLS13 || client.TLS() == nil {
		t.Error("TLS state is missing")
	}
	<-sent
	go func() { server.WriteString("bye\r\n"); server.Hangup(time.Second) }()
	if line, err := client.ReadLine(); string(line) != "bye" || err != nil {
		t.Errorf("got %q, %v", line, err)
	}
	if _, err := client.ReadLine(); err != io.EOF {
		t.Errorf("after hangup: %v, want EOF", err)
	}
}

func TestParkUnderTLS(t *testing.T) {
	client, server := tlsPair(t)
	if err := server.Park(t.Context(), 5*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %v, want a timeout", err)
	}
	server.Wake()
	if err := server.Park(t.Context(), time.Minute); err != ErrWoken {
		t.Fatalf("got %v, want ErrWoken", err)
	}
	go func() { server.Wake() }()
	if err := server.Park(t.Context(), time.Minute); err != ErrWoken {
		t.Fatalf("got %v, want ErrWoken", err)
	}
	if server.in.block != nil || server.link.in.block != nil {
		t.Error("a parked connection holds a buffer")
	}
	// Two lines in one record: the second is here without further input.
	go func() { client.WriteString("one\r\ntwo\r\n"); client.Flush() }()
	for _, want := range []string{"one", "two"} {
		if err := server.Park(t.Context(), time.Minute); err != nil {
			t.Fatal(err)
		}
		if line, err := server.ReadLine(); string(line) != want || err != nil {
			t.Fatalf("got %q, %v", line, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := server.Park(ctx, time.Minute); err != context.Canceled {
		t.Errorf("got %v, want canceled", err)
	}
}

// TestIdleTLSKeepsNoLargeBuffers fails when a new Go has other fields in tls.Conn: see tlsmemory.go.
func TestIdleTLSKeepsNoLargeBuffers(t *testing.T) {
	client, server := tlsPair(t)
	sent := make(chan struct{})
	go func() { client.Write(make([]byte, 100000)); client.Flush(); close(sent) }()
	if err := server.Discard(100000); err != nil {
		t.Fatal(err)
	}
	<-sent
	if err := server.Park(t.Context(), time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	conn := reflect.ValueOf(server.tls).Elem()
	for _, name := range []string{"rawInput", "hand"} {
		if size := conn.FieldByName(name).FieldByName("buf").Cap(); size > maxIdleInput {
			t.Errorf("%s keeps %d bytes, want at most %d", name, size, maxIdleInput)
		}
	}
	go func() { client.WriteString("still here\r\n"); client.Flush() }()
	if line, err := server.ReadLine(); string(line) != "still here" || err != nil {
		t.Errorf("then got %q, %v", line, err)
	}
}

func TestPlaintextAheadOfTheHandshakeIsRefused(t *testing.T) {
	serverConfig, _ := tlsConfigs(t)
	client, nc := tcpPair(t)
	server := New(nc, Config{})
	io.WriteString(client, "STARTTLS\r\nMAIL FROM:<evil@client.test>\r\n")
	if line, err := server.ReadLine(); string(line) != "STARTTLS" || err != nil {
		t.Fatalf("%q, %v", line, err)
	}
	if err := server.StartTLS(t.Context(), serverConfig, true); err != ErrInjected {
		t.Errorf("got %v, want ErrInjected", err)
	}
}

func TestHandshakeIsTimed(t *testing.T) {
	serverConfig, _ := tlsConfigs(t)
	_, nc := tcpPair(t)
	server := New(nc, Config{ReadTimeout: 10 * time.Millisecond})
	if err := server.StartTLS(t.Context(), serverConfig, true); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want a timeout", err)
	}
}

func TestCloseFromAnotherGoroutineEndsAPark(t *testing.T) {
	both(t, func(t *testing.T, client net.Conn, c *Conn) {
		go c.Close()
		if err := c.Park(t.Context(), time.Minute); err == nil {
			t.Error("park returned nil on a closed connection")
		}
	})
	_, server := tlsPair(t)
	go server.Close()
	if err := server.Park(t.Context(), time.Minute); err == nil {
		t.Error("park returned nil on a closed TLS connection")
	}
}
