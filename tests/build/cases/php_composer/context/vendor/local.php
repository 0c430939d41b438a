<?php // local
