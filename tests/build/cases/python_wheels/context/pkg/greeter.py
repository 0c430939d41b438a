def greet():
    return "hello from a wheel"
