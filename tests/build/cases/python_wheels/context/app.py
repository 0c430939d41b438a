import os
import greeter
print(greeter.greet(), os.getuid())
