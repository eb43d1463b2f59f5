// Package admin is every administrative operation, once. The command line, and later the HTTP API and
// the web pages, call the same functions: [Admin] does the work, [Admin.Handler] offers it on a socket,
// [Client] asks for it there or in its own process.
//
// An operation takes one JSON object and answers with JSON objects, one a line. Who may reach the
// socket may do everything: it lies in the data directory with mode 0600.
package admin

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"

	"posthaste/auth"
	"posthaste/auth/ban"
	"posthaste/deliver/remote/tlsrpt"
	"posthaste/directory"
	"posthaste/filter/correspondents"
	"posthaste/filter/dlp"
	"posthaste/filter/dnsbl"
	"posthaste/filter/greylist"
	"posthaste/filter/spam/classifier"
	"posthaste/mail"
	"posthaste/mailauth/dkim"
	"posthaste/quarantine"
	"posthaste/queue"
	"posthaste/smtp"
	"posthaste/store"
	"posthaste/trace"
)

// Config names the parts of a node that operations work on.
type Config struct {
	Directory  *directory.Directory
	Auth       *auth.Auth
	Store      *store.Store
	Queue      *queue.Queue
	Trace      *trace.Log
	TLSReports *tlsrpt.Inbox  // nil: none are taken
	DKIM       *dkim.KeyStore // nil: nothing is signed
	Quarantine *quarantine.Quarantine
	DNSBL      *dnsbl.Lists
	Bans       *ban.Bans
	Greylist   *greylist.Greylist
	Documents  *dlp.Registry
	Spam       *classifier.Classifier // nil: there is none

	Correspondents *correspondents.Book // nil: nobody remembers

	Reports  Reports // about DMARC and of feedback
	Quota    int64   // of accounts that name none, in bytes; 0 is no limit
	Hostname string
	Log      *slog.Logger

	Reload  func(context.Context) error                                // nil: it cannot
	Explain func(context.Context, ExplainRequest) (Explanation, error) // nil: it cannot
}

// Admin does the operations of one node.
type Admin struct{ cfg Config }

// New returns an Admin for the parts of cfg.
func New(cfg Config) *Admin { return &Admin{cfg} }

// A DomainRequest asks for a domain to be added.
type DomainRequest struct {
	Name  string `json:"name"`
	Relay bool   `json:"relay,omitempty"` // be a backup MX for it
}

// AddDomain makes this node take mail for a domain.
func (a *Admin) AddDomain(ctx context.Context, r DomainRequest) (directory.Domain, error) {
	return a.cfg.Directory.AddDomain(ctx, r.Name, directory.DomainOptions{Relay: r.Relay})
}

// DeleteDomain ends the taking of mail for a domain that has no addresses left.
func (a *Admin) DeleteDomain(ctx context.Context, r DomainRequest) error {
	return a.cfg.Directory.DeleteDomain(ctx, r.Name)
}

// Domains yields the domains in order.
func (a *Admin) Domains(ctx context.Context) iter.Seq2[directory.Domain, error] {
	stop := errors.New("stop")
	return func(yield func(directory.Domain, error) bool) {
		err := a.cfg.Directory.Domains(ctx, func(d directory.Domain) error {
			if !yield(d, nil) {
				return stop
			}
			return nil
		})
		if err != nil && err != stop {
			yield(directory.Domain{}, err)
		}
	}
}

// An AccountRequest names an account and what to set.
type AccountRequest struct {
	Address  string `json:"address"`
	Password string `json:"password,omitempty"`
	Quota    *int64 `json:"quota,omitempty"` // bytes; 0 is no limit, unset the configured default
}

// An Account is one account as it is listed.
type Account struct {
	directory.Account
	Used   int64 `json:"used"` // bytes of mail
	Emails int64 `json:"emails"`
}

// AddAccount makes an account with its mailboxes. The password is set before the address takes mail,
// and after a crash half-way the same call finishes the work.
func (a *Admin) AddAccount(ctx context.Context, r AccountRequest) (Account, error) {
	address, err := a.address(r.Address)
	if err != nil {
		return Account{}, err
	}
	credentials, err := a.cfg.Auth.NewCredentials(ctx, r.Password)
	if err != nil {
		return Account{}, err
	}
	quota := a.cfg.Quota
	if r.Quota != nil {
		quota = *r.Quota
	}
	made, err := a.cfg.Directory.AddAccount(ctx, address, directory.AccountOptions{Quota: quota, Credentials: &credentials})
	if errors.Is(err, directory.ErrNoDomain) {
		return Account{}, fmt.Errorf("no such domain: %s is not ours yet: posthaste domain add %s", address.Domain, address.Domain)
	}
	exists := errors.Is(err, directory.ErrExists) && made.ID != 0
	if err != nil && !exists {
		return Account{}, err
	}
	// What exists may have lost its mailboxes to a crash right here; one that has them keeps them.
	if err := a.cfg.Store.Create(ctx, made.ID, quota); err != nil {
		return Account{}, err
	}
	if exists {
		return Account{}, fmt.Errorf("there is an account %s already: posthaste account passwd %s sets its password", address, address)
	}
	return Account{Account: made}, nil
}

// SetPassword replaces the password of an account.
func (a *Admin) SetPassword(ctx context.Context, r AccountRequest) error {
	account, err := a.account(ctx, r.Address)
	if err != nil {
		return err
	}
	credentials, err := a.cfg.Auth.NewCredentials(ctx, r.Password)
	if err != nil {
		return err
	}
	return a.cfg.Directory.SetCredentials(ctx, account.ID, credentials)
}

// SetQuota changes what an account may keep.
func (a *Admin) SetQuota(ctx context.Context, r AccountRequest) error {
	account, err := a.account(ctx, r.Address)
	if err != nil {
		return err
	}
	if r.Quota == nil || *r.Quota < 0 {
		return errors.New("no quota given: name a size such as 5GiB, or 0 for no limit")
	}
	if err := a.cfg.Directory.SetQuota(ctx, account.ID, *r.Quota); err != nil {
		return err
	}
	return a.cfg.Store.Account(account.ID).SetQuota(ctx, *r.Quota)
}

// DeleteAccount ends an account and erases its mail.
func (a *Admin) DeleteAccount(ctx context.Context, r AccountRequest) error {
	account, err := a.account(ctx, r.Address)
	if err != nil {
		return err
	}
	_, err = a.cfg.Directory.DeleteAccount(ctx, account.ID, func(ctx context.Context, account directory.Account) error {
		return errors.Join(a.cfg.Store.Erase(ctx, account.ID), a.forget(ctx, account.ID))
	})
	return err
}

// forget removes what was learned from an account: its words, and whom it wrote to.
func (a *Admin) forget(ctx context.Context, id mail.AccountID) error {
	var errs []error
	if a.cfg.Spam != nil {
		errs = append(errs, a.cfg.Spam.Erase(ctx, id))
	}
	if a.cfg.Correspondents != nil {
		errs = append(errs, a.cfg.Correspondents.Forget(ctx, id))
	}
	return errors.Join(errs...)
}

// Accounts yields the accounts of a domain, or all when it is empty, with what they use.
func (a *Admin) Accounts(ctx context.Context, r DomainRequest) iter.Seq2[Account, error] {
	return func(yield func(Account, error) bool) {
		for account, err := range a.cfg.Directory.Accounts(ctx, r.Name) {
			listed := Account{Account: account}
			if err == nil {
				usage, quotaErr := a.cfg.Store.Account(account.ID).Quota(ctx)
				if quotaErr == nil {
					listed.Used, listed.Emails = usage.Used, usage.Emails
				}
			}
			if !yield(listed, err) || err != nil {
				return
			}
		}
	}
}

// An AliasRequest names an alias and its targets.
type AliasRequest struct {
	Address string   `json:"address"`
	Targets []string `json:"targets,omitempty"`
}

// AddAlias makes an alias; "*@domain" takes all mail of the domain that nobody else takes.
func (a *Admin) AddAlias(ctx context.Context, r AliasRequest) (directory.AliasEntry, error) {
	address, err := a.address(r.Address)
	if err != nil {
		return directory.AliasEntry{}, err
	}
	entry := directory.AliasEntry{Address: address}
	for _, t := range r.Targets {
		target, err := a.address(t)
		if err != nil {
			return directory.AliasEntry{}, err
		}
		entry.Targets = append(entry.Targets, target)
	}
	return entry, a.cfg.Directory.AddAlias(ctx, address, entry.Targets)
}

// A MovedRequest says that the owner of an address has a new one.
type MovedRequest struct {
	Address string `json:"address"`
	To      string `json:"to"`
	Refuse  bool   `json:"refuse,omitempty"` // mail is refused and the sender told the new address; else it is forwarded
}

// SetMoved notes where the owner of an address went, in the place of any alias.
func (a *Admin) SetMoved(ctx context.Context, r MovedRequest) (directory.AliasEntry, error) {
	entry := directory.AliasEntry{Targets: make([]mail.Address, 1), Moved: directory.MovedForward}
	if r.Refuse {
		entry.Moved = directory.MovedRefuse
	}
	var err error
	if entry.Address, err = a.address(r.Address); err != nil {
		return entry, err
	}
	if entry.Targets[0], err = a.address(r.To); err != nil {
		return entry, err
	}
	return entry, a.cfg.Directory.SetMoved(ctx, entry.Address, entry.Targets[0], entry.Moved)
}

// A ForwardRequest sends the mail of an account to other addresses. It only asks where it goes when it
// names no targets and Clear is not set.
type ForwardRequest struct {
	Address string   `json:"address"`
	Targets []string `json:"targets,omitempty"`
	Keep    bool     `json:"keep,omitempty"` // the account gets its mail too
	Clear   bool     `json:"clear,omitempty"`
}

// A Forward is where the mail of an account goes; its mailbox alone when To is empty.
type Forward struct {
	Address mail.Address   `json:"address"`
	To      []mail.Address `json:"to"`
	Keep    bool           `json:"keep"`
}

// Forward sets, ends or tells where the mail of an account goes.
func (a *Admin) Forward(ctx context.Context, r ForwardRequest) (Forward, error) {
	account, err := a.account(ctx, r.Address)
	if err != nil {
		return Forward{}, err
	}
	var f directory.Forward
	for _, t := range r.Targets {
		target, err := a.address(t)
		if err != nil {
			return Forward{}, err
		}
		f.To = append(f.To, target)
	}
	f.Keep = r.Keep
	if len(f.To) > 0 || r.Clear {
		if err := a.cfg.Directory.SetForward(ctx, account.Address, f); err != nil {
			return Forward{}, err
		}
	}
	f, err = a.cfg.Directory.Forward(ctx, account.Address)
	return Forward{account.Address, append([]mail.Address{}, f.To...), f.Keep || len(f.To) == 0}, err
}

// DeleteAlias removes an alias.
func (a *Admin) DeleteAlias(ctx context.Context, r AliasRequest) error {
	address, err := a.address(r.Address)
	if err != nil {
		return err
	}
	return a.cfg.Directory.DeleteAlias(ctx, address)
}

// Aliases yields the aliases of a domain, or all when it is empty.
func (a *Admin) Aliases(ctx context.Context, r DomainRequest) iter.Seq2[directory.AliasEntry, error] {
	return a.cfg.Directory.Aliases(ctx, r.Name)
}

// A TraceRequest says whose story to tell: an ID, an address or a Message-ID; empty for everything.
type TraceRequest struct {
	Key   string `json:"key"`
	Limit int    `json:"limit,omitempty"`
}

// Trace returns the events of a story, oldest first.
func (a *Admin) Trace(ctx context.Context, r TraceRequest) ([]trace.Event, error) {
	if r.Key == "" {
		return a.cfg.Trace.Find(ctx, trace.Query{Limit: r.Limit})
	}
	return a.cfg.Trace.Story(ctx, r.Key, r.Limit)
}

// address reads an address that a person wrote.
func (a *Admin) address(text string) (mail.Address, error) {
	address, err := smtp.ParseAddress(text)
	if err != nil {
		return mail.Address{}, fmt.Errorf("%q is not an address such as ann@example.org: %s", text, mail.StatusOf(err).Text)
	}
	if address.Domain == "" {
		return mail.Address{}, fmt.Errorf("%q has no domain: write it as %s@example.org", text, strings.TrimSpace(text))
	}
	return address, nil
}

// account returns the account that owns an address a person wrote.
func (a *Admin) account(ctx context.Context, text string) (directory.Account, error) {
	address, err := a.address(text)
	if err != nil {
		return directory.Account{}, err
	}
	account, err := a.cfg.Directory.AccountByAddress(ctx, address)
	if errors.Is(err, directory.ErrNoAccount) {
		return account, fmt.Errorf("there is no account %s: posthaste account list shows them all", address)
	}
	return account, err
}
