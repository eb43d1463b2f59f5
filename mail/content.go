package mail

// Content is the immutable bytes of one message: header, empty line, body, lines ending in CRLF
// unless the client sent binary. It may be memory or a mapped file, so it is closed once, by whoever
// made it, after every user is done.
type Content interface {
	// Bytes returns all of it. The caller does not change it and does not keep it past Close.
	Bytes() []byte
	// Close frees what holds the bytes. Bytes must not be used afterwards.
	Close() error
}

// Bytes is Content in memory.
type Bytes []byte

// Bytes returns b.
func (b Bytes) Bytes() []byte { return b }

// Close does nothing.
func (b Bytes) Close() error { return nil }
