// Package diagnosis says what is wrong with masters, judging by what they answered. It does no I/O:
// somebody else asks the masters.
//
// What it finds out about a master comes from two sources: a probe, which is a lock that nobody
// else wants, and a survey, which is what the server says about itself. The probe decides whether
// the master can grant locks. The survey explains why not, and what could go wrong although it can.
package diagnosis
