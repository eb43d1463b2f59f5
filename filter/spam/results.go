package spam

import "posthaste/mail"

// A rule is a finding without evidence.
type rule struct {
	name    string
	weight  float64
	meaning string
}

func (r rule) found(evidence string) mail.Finding {
	return mail.Finding{Rule: r.name, Weight: r.weight, Evidence: evidence, Meaning: r.meaning}
}

// results are the rules about what authentication said, by method and result of RFC 8601. A temporary
// error is no evidence: it has no rule with a weight.
var results = map[string]rule{
	"iprev=fail":      {"IPREV_FAIL", 0.8, "The client's address has a name that does not lead back to it."},
	"iprev=permerror": {"IPREV_NONE", 1.0, "The client's address has no name; hosts that send mail should have one."},
	"iprev=temperror": {"IPREV_UNKNOWN", 0, "The name of the client could not be looked up. That is no evidence."},
	"helo=fail":       {"HELO_INVALID", 0.8, "The client introduced itself by a name that is none, or is not its own."},
	"helo=policy":     {"HELO_OURS", 3.0, "The client introduced itself by our own name."},

	"spf=pass":      {"SPF_PASS", -0.1, "The domain of the envelope sender sends from this address."},
	"spf=fail":      {"SPF_FAIL", 2.5, "The domain of the envelope sender says that it does not send from this address."},
	"spf=softfail":  {"SPF_SOFTFAIL", 1.0, "The domain of the envelope sender probably does not send from this address."},
	"spf=neutral":   {"SPF_NEUTRAL", 0.2, "The domain of the envelope sender does not say whether it sends from this address."},
	"spf=none":      {"SPF_NONE", 0.2, "The domain of the envelope sender does not say where it sends from."},
	"spf=permerror": {"SPF_BROKEN", 0.5, "The SPF record of the envelope sender's domain is broken."},
	"spf=temperror": {"SPF_UNKNOWN", 0, "SPF could not be looked up. That is no evidence."},

	"dkim=pass":      {"DKIM_PASS", -0.2, "A domain has signed the message, and it is unchanged."},
	"dkim=fail":      {"DKIM_FAIL", 0.8, "The message has a signature that does not hold: it was changed, or forged."},
	"dkim=permerror": {"DKIM_BROKEN", 0.4, "The message has a signature that cannot be verified."},
	"dkim=policy":    {"DKIM_WEAK", 0.4, "The message has a signature too weak to count."},
	"dkim=neutral":   {"DKIM_BROKEN", 0.4, "The message has a signature that cannot be verified."},
	"dkim=none":      {"DKIM_NONE", 0.1, "Nobody has signed the message."},
	"dkim=temperror": {"DKIM_UNKNOWN", 0, "The key of a signature could not be looked up. That is no evidence."},

	"dmarc=pass":      {"DMARC_PASS", -0.5, "The author's domain is proven by SPF or DKIM."},
	"dmarc=fail":      {"DMARC_FAIL", 1.5, "Neither SPF nor DKIM proves the author's domain, which asks to be checked."},
	"dmarc=none":      {"DMARC_NONE", 0.1, "The author's domain does not say what to do with mail that does not prove itself."},
	"dmarc=permerror": {"DMARC_BROKEN", 0.2, "The DMARC record of the author's domain, or the From field, is broken."},
	"dmarc=temperror": {"DMARC_UNKNOWN", 0, "DMARC could not be looked up. That is no evidence."},

	"arc=pass": {"ARC_PASS", 0, "Those who passed the message on sealed what they found, and the seals hold."},
	"arc=fail": {"ARC_FAIL", 0.3, "The seals of those who passed the message on do not hold."},
}

// Result returns the finding of a result of authentication; false where there is no rule about it.
func (r *Rules) Result(method, result, evidence string) (mail.Finding, bool) {
	known, ok := results[method+"="+result]
	if !ok {
		return mail.Finding{}, false
	}
	return known.found(evidence), true
}
