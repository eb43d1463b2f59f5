# Reads and deletes mail as a POP3 client would: python3 poplib_session.py HOST PORT
import poplib, ssl, sys

insecure = ssl._create_unverified_context()
pop = poplib.POP3(sys.argv[1], int(sys.argv[2]), timeout=30)
print(sorted(pop.capa()))
pop.stls(insecure)
print(pop.user('ann@north.test').decode())
print(pop.pass_('correct horse').decode())
print(pop.stat())
print(pop.list()[1])
print(pop.uidl()[1])
for n in 1, 2, 3:
    print(pop.retr(n)[1:])
print(pop.top(1, 1)[1])
try:
    pop.retr(4)
except poplib.error_proto as e:
    print(e)
print(pop.dele(2).decode())
print(pop.quit().decode())
