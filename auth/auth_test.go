package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"posthaste/directory"
	"posthaste/kv/memkv"
	"posthaste/mail"
)

const right = "correct horse"

// open returns an Auth and the account ann@north.test with the right password.
func open(t testing.TB) (*Auth, *directory.Directory, directory.Account) {
	t.Helper()
	d := directory.New(memkv.New(), directory.Config{})
	t.Cleanup(d.Close)
	a := New(Config{Directory: d, Hashes: 2})
	if _, err := d.AddDomain(t.Context(), "north.test", directory.DomainOptions{}); err != nil {
		t.Fatal(err)
	}
	c, err := a.NewCredentials(t.Context(), right)
	if err != nil {
		t.Fatal(err)
	}
	ann, err := d.AddAccount(t.Context(), mail.Address{Local: "ann", Domain: "north.test"}, directory.AccountOptions{Credentials: &c})
	if err != nil {
		t.Fatal(err)
	}
	return a, d, ann
}

// stopHashing keeps every hash waiting for its turn until the test ends.
func stopHashing(t testing.TB, a *Auth) {
	for range cap(a.hashing.running) {
		a.hashing.running <- struct{}{}
	}
}

func TestPassword(t *testing.T) {
	a, d, ann := open(t)
	for _, c := range []struct {
		claim, login, password string
		want                   error
	}{
		{"the right password", "ann@north.test", right, nil},
		{"login in another case", "Ann@North.test", right, nil},
		{"the wrong password", "ann@north.test", "wrong horse", ErrCredentials},
		{"right but for case", "ann@north.test", strings.ToUpper(right), ErrCredentials},
		{"no password", "ann@north.test", "", ErrCredentials},
		{"endless password", "ann@north.test", strings.Repeat("x", MaxPassword+1), ErrCredentials},
		{"unknown login", "bob@north.test", right, ErrCredentials},
		{"login without domain where none is default", "ann", right, ErrCredentials},
	} {
		for range 2 { // hashed, then remembered
			got, err := a.Password(t.Context(), c.login, c.password)
			if !errors.Is(err, c.want) || (c.want == nil) != (got.Account == ann.ID) {
				t.Errorf("%s: %+v, %v; want %v", c.claim, got, err, c.want)
			}
			if c.want == nil && (got.Login != c.login || got.Address != ann.Address) {
				t.Errorf("%s: %+v; want login and primary address", c.claim, got)
			}
		}
	}
	if err := d.SetDisabled(t.Context(), ann.ID, true); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Password(t.Context(), "ann@north.test", right); !errors.Is(err, ErrCredentials) {
		t.Errorf("disabled account: %v, want ErrCredentials", err)
	}
}

func TestManyLoginsCostOneHash(t *testing.T) {
	a, _, _ := open(t)
	if _, err := a.Password(t.Context(), "ann@north.test", right); err != nil {
		t.Fatal(err)
	}
	stopHashing(t, a)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for i := range 5000 {
		if _, err := a.Password(ctx, "ann@north.test", right); err != nil {
			t.Fatalf("login %d: %v", i, err)
		}
	}
}

// Nobody can tell an unknown login from a wrong password by the time it takes: both hash.
func TestUnknownLoginIsHashed(t *testing.T) {
	a, _, _ := open(t)
	stopHashing(t, a)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, login := range []string{"ann@north.test", "bob@north.test", "x@far.test", ""} {
		if _, err := a.Password(ctx, login, "wrong horse"); !errors.Is(err, context.Canceled) {
			t.Errorf("login %q: %v; want it to wait for its turn to hash", login, err)
		}
	}
}

func TestWaitingIsBounded(t *testing.T) {
	a, _, _ := open(t)
	for range cap(a.hashing.waiting) {
		a.hashing.waiting <- struct{}{}
	}
	_, err := a.Password(t.Context(), "ann@north.test", right)
	if !errors.Is(err, ErrBusy) || errors.Is(err, ErrCredentials) {
		t.Errorf("got %v, want ErrBusy", err)
	}
}

func TestSetPasswordForgetsTheOld(t *testing.T) {
	a, d, ann := open(t)
	other := New(Config{Directory: d}) // another node
	for _, a := range []*Auth{a, other} {
		if _, err := a.Password(t.Context(), "ann@north.test", right); err != nil {
			t.Fatal(err)
		}
	}
	if err := other.SetPassword(t.Context(), ann.ID, "battery staple"); err != nil {
		t.Fatal(err)
	}
	for i, a := range []*Auth{a, other} {
		if _, err := a.Password(t.Context(), "ann@north.test", right); !errors.Is(err, ErrCredentials) {
			t.Errorf("node %d, old password: %v, want ErrCredentials", i, err)
		}
		if _, err := a.Password(t.Context(), "ann@north.test", "battery staple"); err != nil {
			t.Errorf("node %d, new password: %v", i, err)
		}
	}
}

func TestNewPasswordsAreChecked(t *testing.T) {
	a, _, ann := open(t)
	for _, bad := range []string{"", "1234567", "éééé", "\xff2345678", "1234\x005678", strings.Repeat("x", MaxPassword+1)} {
		if err := a.SetPassword(t.Context(), ann.ID, bad); !errors.Is(err, ErrPassword) {
			t.Errorf("password %.20q: %v, want ErrPassword", bad, err)
		}
	}
	for _, good := range []string{"12345678", "éééééééé", "pass word\t🐎", strings.Repeat("x", MaxPassword)} {
		if err := a.SetPassword(t.Context(), ann.ID, good); err != nil {
			t.Errorf("password %.20q: %v", good, err)
		}
		if _, err := a.Password(t.Context(), "ann@north.test", good); err != nil {
			t.Errorf("login with %.20q: %v", good, err)
		}
	}
}

// RFC 4013: what looks the same is the same password.
func TestPasswordsArePrepared(t *testing.T) {
	a, _, ann := open(t)
	if err := a.SetPassword(t.Context(), ann.ID, "pass\u00a0wor\u0064e\u0301"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Password(t.Context(), "ann@north.test", "pass wordé"); err != nil {
		t.Errorf("composed otherwise, with another space: %v", err)
	}
}

func TestImportedBcryptIsUpgraded(t *testing.T) {
	a, d, ann := open(t)
	hash, err := bcrypt.GenerateFromPassword([]byte("imported pw"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.SetCredentials(t.Context(), ann.ID, directory.Credentials{Hash: string(hash)}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Password(t.Context(), "ann@north.test", "wrong one"); !errors.Is(err, ErrCredentials) {
		t.Errorf("wrong password: %v", err)
	}
	for range 2 {
		if _, err := a.Password(t.Context(), "ann@north.test", "imported pw"); err != nil {
			t.Errorf("right password: %v", err)
		}
	}
	c, err := d.Credentials(t.Context(), ann.ID)
	if err != nil || !isArgon2id(c.Hash) || len(c.SCRAM) != 1 {
		t.Errorf("after a login: %+v, %v; want argon2id and SCRAM keys", c, err)
	}
}

func TestDamagedHashIsTemporary(t *testing.T) {
	a, d, ann := open(t)
	good, err := d.Credentials(t.Context(), ann.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		"$argon2id$", "plain", "$2b$10$short", "$argon2id$v=19$m=99999999,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		strings.Replace(good.Hash, "t=2", "t=0", 1), strings.Replace(good.Hash, "v=19", "v=16", 1), strings.Replace(good.Hash, "p=1", "p=0", 1),
	} {
		if err := d.SetCredentials(t.Context(), ann.ID, directory.Credentials{Hash: bad}); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Password(t.Context(), "ann@north.test", right); err == nil || errors.Is(err, ErrCredentials) {
			t.Errorf("stored hash %.40q: %v; want an error that does not blame the client", bad, err)
		}
	}
}

func TestMemory(t *testing.T) {
	var m memory
	now := time.Now()
	m.add("hash", "password", now)
	for _, c := range []struct {
		claim, hash, password string
		after                 time.Duration
		want                  bool
	}{
		{"remembers", "hash", "password", rememberFor - 1, true},
		{"not another password", "hash", "passwore", 0, false},
		{"not under another hash", "hashp", "assword", 0, false},
		{"not for ever", "hash", "password", rememberFor, false},
		{"forgot for good", "hash", "password", 0, false},
	} {
		if got := m.has(c.hash, c.password, now.Add(c.after)); got != c.want {
			t.Errorf("%s: %t, want %t", c.claim, got, c.want)
		}
	}
	for i := range maxRemembered + 100 {
		m.add("hash", fmt.Sprint(i), now)
	}
	if len(m.proven) > maxRemembered {
		t.Errorf("%d are remembered, want at most %d", len(m.proven), maxRemembered)
	}
}

func TestConcurrentLogins(t *testing.T) {
	a, _, ann := open(t)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			password, want := right, error(nil)
			if i%20 == 0 {
				password, want = "wrong horse", ErrCredentials
			}
			got, err := a.Password(t.Context(), "ann@north.test", password)
			if !errors.Is(err, want) || want == nil && got.Account != ann.ID {
				t.Errorf("login %d: %+v, %v; want %v", i, got, err, want)
			}
		})
	}
	wg.Wait()
}

func TestFakeSCRAMKeysLookReal(t *testing.T) {
	a, d, ann := open(t)
	other := New(Config{Directory: d}) // after a restart, or another node
	real, err := a.SCRAM(t.Context(), "ann@north.test")
	if err != nil || real.Identity.Account != ann.ID {
		t.Fatalf("SCRAM of ann: %+v, %v", real, err)
	}
	fake, err1 := a.SCRAM(t.Context(), "bob@north.test")
	again, err2 := other.SCRAM(t.Context(), "Bob@north.test")
	eve, err3 := a.SCRAM(t.Context(), "eve@north.test")
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	if len(fake.Salt) != len(real.Salt) || fake.Iterations != real.Iterations || len(fake.StoredKey) != len(real.StoredKey) {
		t.Errorf("made-up keys %+v do not look like %+v", fake, real)
	}
	if string(fake.Salt) != string(again.Salt) || string(fake.Salt) == string(eve.Salt) {
		t.Error("made-up salts must be the same for one login, and differ between two")
	}
	if fake.Identity.Account != 0 {
		t.Errorf("a made-up login is somebody: %+v", fake.Identity)
	}
}

func FuzzParseArgon(f *testing.F) {
	f.Add(newHash("password"))
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseArgon(text)
		if err != nil {
			return
		}
		if p.memory > maxArgonMemory || p.time > maxArgonTime || p.threads == 0 {
			t.Errorf("%q asks for too much: %+v", text, p)
		}
		if again, err := parseArgon(formatArgon(p)); err != nil || string(again.key) != string(p.key) || string(again.salt) != string(p.salt) {
			t.Errorf("%q does not survive printing: %v", text, err)
		}
	})
}

func BenchmarkHash(b *testing.B) {
	for b.Loop() {
		newHash(right)
	}
}

func BenchmarkRememberedLogin(b *testing.B) {
	a, _, _ := open(b)
	for b.Loop() {
		if _, err := a.Password(b.Context(), "ann@north.test", right); err != nil {
			b.Fatal(err)
		}
	}
}
